"""The gate: who needs no token, whose Host and Origin are refused, and how much may be sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from solominer.web.access import access, guard
from solominer.web.access.addresses import host_of, is_known, is_same_origin, network_key
from solominer.web.access.guard import MAX_BODY_BYTES
from solominer.web.access.limits import RateLimit
from tests.web.access_rig import ELSEWHERE, HOST, Rig
from tests.web.test_limits import Time

PUBLIC = {
    ("GET", "/api/v1/session"), ("POST", "/api/v1/login"), ("POST", "/api/v1/logout"),
    ("GET", "/login"), ("POST", "/login"), ("GET", "/share/x"), ("GET", "/api/openapi.json"),
    ("HEAD", "/api/openapi.json"), ("GET", "/healthz"), ("GET", "/readyz"),
}  # fmt: skip
"""What nobody needs a token for: logging in, and what is the same in every installation."""


def refused(response: httpx.Response, status: int) -> bool:
    """Whether it is refused as all errors are told."""
    assert response.status_code == status, response.text
    told = response.json()
    assert told.keys() == {"error", "todo"}
    assert all(told.values())
    assert "Content-Security-Policy" in response.headers
    return True


# --- roles ---------------------------------------------------------------------------------------------------------


async def test_no_endpoint_answers_without_a_role_and_none_acts_for_a_reader(tmp_path: Path) -> None:
    """Every route of the application, those that are added later too."""
    rig = Rig(tmp_path)
    reader, shared = rig.secret("read"), rig.secret("share")
    asked = [each for each in rig.endpoints() if each not in PUBLIC and each[0] != "WEBSOCKET"]
    assert {("POST", f"/api/v1/control/{what}") for what in ("pause", "resume", "reload", "cores")} <= {*asked}
    assert ("GET", "/api/v1/status") in asked
    async with rig.client() as stranger, rig.client("solominer_" + "x" * 43, peer="192.0.2.8") as wrong:
        for method, path in asked:
            assert refused(await stranger.request(method, path), 401), path
            rig.access.lockout.succeeded("192.0.2.8")
            assert refused(await wrong.request(method, path), 401), path
    for secret in (reader, shared):
        async with rig.client(secret) as client:
            for method, path in asked:
                if method not in ("GET", "HEAD", "OPTIONS"):
                    assert refused(await client.request(method, path), 403), path
            assert (await client.get("/api/v1/status")).status_code == 503, "no daemon"


async def test_somebody_at_this_machine_needs_no_token(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "127.0.0.1:3380")
    for base, peer in [
        ("http://127.0.0.1:3380", "127.0.0.1"),
        ("http://localhost:3380", "127.0.0.1"),
        ("http://[::1]:3380", "::1"),
    ]:
        async with rig.client(peer=peer, base=base) as client:
            session = (await client.get("/api/v1/session")).json()
            assert session == {"role": "control", "local": True, "login_required": False}
            assert refused(await client.post("/api/v1/control/pause"), 503), "no daemon is running"


@pytest.mark.parametrize(
    ("options", "peer", "base", "headers"),
    [
        ({"listen": "0.0.0.0:3380"}, "127.0.0.1", "http://127.0.0.1:3380", {}),
        ({"listen": "127.0.0.1:3380"}, "127.0.0.1", "http://192.0.2.1:3380", {}),
        ({"listen": "127.0.0.1:3380", "hosts": ("miner.lan",)}, "127.0.0.1", "http://miner.lan", {}),
        ({"listen": "127.0.0.1:3380"}, ELSEWHERE, "http://127.0.0.1:3380", {}),
        ({"listen": "127.0.0.1:3380", "proxies": ("127.0.0.1",)}, "127.0.0.1", "http://127.0.0.1:3380", {}),
        *(
            ({"listen": "127.0.0.1:3380"}, "127.0.0.1", "http://127.0.0.1:3380", {name: "127.0.0.1"})
            for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via", "CF-Connecting-IP")
        ),
    ],
)
async def test_nobody_else_does_without(
    options: dict[str, str], peer: str, base: str, headers: dict[str, str], tmp_path: Path
) -> None:
    rig = Rig(tmp_path, **options)
    async with rig.client(peer=peer, base=base, headers=headers) as client:
        assert refused(await client.get("/api/v1/status"), 401)
        assert (await client.get("/api/v1/session")).json() == {"role": None, "local": False, "login_required": True}
        page = await client.get("/api/v1/status", headers={"Accept": "text/html,*/*"})
        assert (page.status_code, page.headers["location"]) == (303, "/login")


async def test_a_token_counts_more_than_the_address(tmp_path: Path) -> None:
    """So that a token can be tried at the machine itself."""
    rig = Rig(tmp_path, "127.0.0.1:3380")
    async with rig.client(rig.secret("read"), peer="127.0.0.1", base="http://localhost:3380") as client:
        assert refused(await client.post("/api/v1/control/pause"), 403)
    async with rig.local(Authorization="Basic YTpi") as client:
        assert (await client.get("/api/v1/session")).json()["local"], "a proxy's own password is not ours"


async def test_expired_and_revoked_tokens_are_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    expired, revoked = rig.secret("control", at=1.0, days=1), rig.secret("control")
    async with rig.client(revoked) as client:
        assert refused(await client.post("/api/v1/control/pause"), 503), "no daemon"
        rig.tokens.revoke("t2")
        assert refused(await client.post("/api/v1/control/pause"), 401)
    async with rig.client(expired) as client:
        response = await client.get("/api/v1/status")
        assert refused(response, 401)
        assert "has expired" in response.json()["error"]


async def test_the_static_page_is_the_same_for_everybody(tmp_path: Path) -> None:
    async with Rig(tmp_path).client() as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/login.css")).status_code == 200


# --- Host and Origin -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:3380", 200), ("LOCALHOST", 200), ("127.0.0.1:3380", 200), ("[::1]:3380", 200), ("10.1.2.3", 200),
        ("miner.lan", 200), ("MINER.lan.:3380", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1.nip.io:3380", 421), ("miner.lan.evil", 421),
        ("", 400), ("a b", 400), ("user@localhost", 400), ("localhost:x", 400), ("[::1", 400), ("localhost/", 400),
        ("x" * 300, 400),
    ],
)  # fmt: skip
async def test_names_of_other_sites_are_refused(host: str, status: int, tmp_path: Path) -> None:
    """A page of another site may point its name at this address (DNS rebinding), and would be of this origin."""
    rig = Rig(tmp_path, "127.0.0.1:3380", hosts=("miner.lan",))
    async with rig.client(peer="127.0.0.1", headers={"Host": host}) as client:
        response = await client.get("/api/v1/session")
        assert response.status_code == status
        assert status == 200 or refused(response, status)


async def test_two_hosts_are_refused(tmp_path: Path) -> None:
    async with Rig(tmp_path).client() as client:
        response = await client.get("/api/v1/session", headers=[("Host", HOST), ("Host", "evil.example")])
        assert refused(response, 400)


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"Origin": "http://localhost:3380"}, True),
        ({"Origin": "https://LOCALHOST:3380"}, True),
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://localhost:3381"}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://localhost:3380.evil.example"}, False),
        ({"Origin": "http://x@localhost:3380"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
async def test_other_sites_cannot_act_with_a_visitors_address_or_cookie(
    headers: dict[str, str], is_ours: bool, tmp_path: Path
) -> None:
    rig = Rig(tmp_path, "127.0.0.1:3380")
    async with rig.client(peer="127.0.0.1", base="http://localhost:3380", headers=headers) as client:
        for path in ("/api/v1/control/pause", "/api/v1/login", "/login"):
            response = await client.post(path, headers={"Accept": "application/json"})
            assert (response.status_code != 403) == is_ours, path
        assert (await client.get("/api/v1/session")).status_code == 200


def test_hosts_and_origins_are_read() -> None:
    assert [host_of(each) for each in ("A.b:1", "[::1]:5", "[::1]", "1.2.3.4", None, "a:b:c", "::1")] == [
        "a.b", "::1", "::1", "1.2.3.4", None, None, None,
    ]  # fmt: skip
    assert is_known("fe80::1", ())
    assert not is_known("1.2.3", ())
    assert not is_same_origin("file://localhost", "localhost")


def test_one_client_has_one_key() -> None:
    assert network_key("2001:db8:1:2:3::4") == network_key("2001:db8:1:2::") != network_key("2001:db8:1:3::")
    assert network_key("::ffff:192.0.2.7") == network_key("192.0.2.7") == "192.0.2.7"
    assert network_key(None) == network_key("x" * 10_000) == "unknown"


# --- limits --------------------------------------------------------------------------------------------------------


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(1024)


@pytest.mark.parametrize("path", ["/login", "/api/v1/login", "/api/v1/control/cores", "/nowhere"])
async def test_huge_bodies_are_refused(path: str, tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with rig.client(rig.secret("control")) as client:
        assert refused(await client.post(path, content=bytes(MAX_BODY_BYTES + 1)), 413)
        assert refused(await client.post(path, content=chunks(65)), 413)
        assert (await client.post(path, content=chunks(64))).status_code not in (413, 500)
        assert refused(await client.post(path, headers={"Content-Length": "9" * 5000}), 413)


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECS", 0.05)

    async def stuck() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with Rig(tmp_path).client() as client:
        assert refused(await client.post("/api/v1/login", content=stuck()), 408)


async def test_addresses_and_tokens_have_a_rate_and_this_machine_has_none(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "127.0.0.1:3380")
    rig.access.by_address, rig.access.by_token = RateLimit(1.0, 5, Time()), RateLimit(1.0, 8, Time())
    secret = rig.secret()
    async with rig.client() as client:
        codes = [(await client.get("/api/v1/session")).status_code for _ in range(6)]
        assert codes == [200] * 5 + [429]
        response = await client.get("/api/v1/session")
        assert refused(response, 429)
        assert int(response.headers["Retry-After"]) >= 1
    codes = []
    for number in range(5):
        async with rig.client(secret, peer=f"198.51.100.{number}") as client:
            codes += [(await client.get("/api/v1/session")).status_code for _ in range(2)]
    assert codes == [200] * 8 + [429] * 2
    async with rig.local() as client:
        assert {(await client.get("/api/v1/session")).status_code for _ in range(50)} == {200}


async def test_an_address_holds_so_many_requests_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_OPEN", 1)
    rig = Rig(tmp_path)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        arrived.set()
        await go_on.wait()
        yield b"{}"

    async with rig.client() as client, rig.client(peer="198.51.100.9") as other:
        waiting = asyncio.create_task(client.post("/api/v1/login", content=slow()))
        await arrived.wait()
        assert refused(await client.get("/api/v1/session"), 429)
        assert (await other.get("/api/v1/session")).status_code == 200
        go_on.set()
        await waiting
        assert (await client.get("/api/v1/session")).status_code == 200
    assert not rig.access._open


async def test_without_a_token_the_log_says_how_to_make_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for rig in (Rig(tmp_path), Rig(tmp_path, "127.0.0.1:3380", proxies=("127.0.0.1",))):
        caplog.clear()
        rig.access.announce()
        (record,) = caplog.records
        assert "solominer web token add NAME" in record.getMessage()
        assert "\n" not in record.getMessage()
    caplog.clear()
    Rig(tmp_path, "127.0.0.1:3380").access.announce()
    rig.secret()
    rig.access.announce()
    assert caplog.records == []
