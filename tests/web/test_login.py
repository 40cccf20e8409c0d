"""Logging in and out: the cookie, the form without JavaScript, share links, lockouts; and no secret in any log."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import httpx
import pytest

from solominer.web.access.access import Access
from solominer.web.access.limits import Lockout
from solominer.web.access.tokens import DAY_SECS, session_of
from tests.web.access_rig import HOST, Rig
from tests.web.test_limits import Time

WRONG = "solominer_" + "x" * 43


def cookie_of(response: httpx.Response) -> dict[str, str]:
    """The attributes of the one cookie that is set, in lower case; its value is under `value`."""
    (header,) = response.headers.get_list("set-cookie")
    first, *rest = header.split("; ")
    pairs = dict(each.lower().partition("=")[::2] for each in rest)
    return {"value": first.partition("=")[2], "name": first.partition("=")[0], **pairs}


async def test_the_form_trades_a_token_for_a_cookie_that_is_not_the_token(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    secret = rig.secret("control")
    async with rig.client() as client:
        page = await client.get("/login")
        assert '<form method="post" action="/login">' in page.text
        assert "<script" not in page.text
        assert "style=" not in page.text
        assert page.headers["Cache-Control"] == "no-store"
        done = await client.post("/login", data={"token": f" {secret}\n"}, headers={"Origin": f"http://{HOST}"})
        assert (done.status_code, done.headers["location"]) == (303, "/")
        cookie = cookie_of(done)
        assert cookie["value"] == session_of(secret) != secret
        assert {"httponly": "", "samesite": "strict", "path": "/"}.items() <= cookie.items()
        assert "secure" not in cookie
        assert 0 < int(cookie["max-age"]) <= 30 * DAY_SECS
        assert (await client.get("/api/v1/session")).json() == {
            "role": "control", "local": False, "login_required": False,
        }  # fmt: skip
        assert (await client.post("/api/v1/control/pause")).status_code == 503, "no daemon"
        out = await client.post("/api/v1/logout", headers={"Accept": "text/html"})
        assert (out.status_code, out.headers["location"]) == (303, "/login")
        assert (await client.get("/api/v1/session")).json()["login_required"]


async def test_programs_log_in_with_json(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    secret = rig.secret("share", days=1)
    async with rig.client() as client:
        done = await client.post("/api/v1/login", json={"token": secret})
        assert done.json() == {"role": "read", "local": False, "login_required": False}
        assert int(cookie_of(done)["max-age"]) <= DAY_SECS, "a login does not outlast its token"
        assert (await client.get("/api/v1/session")).json()["role"] == "read"
        assert (await client.post("/api/v1/logout")).status_code == 204
        assert (await client.get("/api/v1/session")).json()["role"] is None


async def test_a_session_outlasts_a_restart_and_ends_with_its_token(tmp_path: Path) -> None:
    first = Rig(tmp_path)
    secret = first.secret()
    async with first.client() as client:
        await client.post("/login", data={"token": secret})
        cookies = client.cookies
    again = Rig(tmp_path)
    async with again.client() as client:
        client.cookies = cookies
        assert (await client.get("/api/v1/session")).json()["role"] == "read"
        again.tokens.revoke("t1")
        assert (await client.get("/api/v1/session")).json()["role"] is None
        assert (await client.get("/api/v1/status")).status_code == 401
    assert again.access.lockout.wait_secs("192.0.2.7") == 0, "an old cookie is no failed login"


async def test_neither_the_cookie_nor_the_file_can_be_used_as_a_token(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    session = session_of(rig.secret()) or ""
    (token,) = rig.tokens.load()
    for stolen in (session, token.hash):
        async with rig.client(stolen) as client:
            assert (await client.get("/api/v1/status")).status_code == 401
        async with rig.client() as client:
            assert (await client.post("/login", data={"token": stolen})).status_code == 401
    async with rig.client(headers={"Cookie": f"{rig.access.cookie}={token.hash}"}) as client:
        assert (await client.get("/api/v1/status")).status_code == 401


async def test_the_cookie_is_secure_under_tls(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with rig.client(base=f"https://{HOST}") as client:
        done = await client.post("/login", data={"token": rig.secret()}, headers={"Origin": f"https://{HOST}"})
        assert "secure" in cookie_of(done)
        assert "secure" in cookie_of(await client.post("/api/v1/logout"))


@pytest.mark.parametrize("body", [b"", b"token=", b"token", b"\xff\xfe=%ff", b"token=%00", b"x=1&" * 9, b"token=<b>x"])
async def test_a_form_with_anything_else_is_told_what_to_do(body: bytes, tmp_path: Path) -> None:
    async with Rig(tmp_path).client() as client:
        page = await client.post("/login", content=body)
        assert page.status_code == 401
        assert 'role="alert"' in page.text
        assert "solominer web token add NAME" in page.text
        assert "<b>" not in page.text


async def test_many_fields_are_a_wrong_form(tmp_path: Path) -> None:
    async with Rig(tmp_path).client() as client:
        assert (await client.post("/login", content=b"a=1&" * 16_000)).status_code == 401


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'{"token":1}', b'{"token":"x","y":1}', b"\xff", b'"x"'])
async def test_json_that_is_no_login_is_refused(body: bytes, tmp_path: Path) -> None:
    async with Rig(tmp_path).client() as client:
        response = await client.post("/api/v1/login", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code in (400, 422)


# --- share links ---------------------------------------------------------------------------------------------------


async def test_a_share_link_shows_the_page_until_it_is_revoked(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    link = f"/share/{rig.secret('share')}"
    async with rig.client() as client:
        done = await client.get(link)
        assert (done.status_code, done.headers["location"]) == (303, "/")
        assert (await client.get("/api/v1/session")).json()["role"] == "read"
        assert (await client.post("/api/v1/control/pause")).status_code == 403
        rig.tokens.revoke("t1")
        assert (await client.get("/api/v1/session")).json()["role"] is None
        page = await client.get(link)
        assert page.status_code == 401
        assert "not known" in page.text


@pytest.mark.parametrize("role", ["read", "control"])
async def test_other_tokens_do_not_work_in_a_link(role: str, tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with rig.client() as client:
        page = await client.get(f"/share/{rig.secret(role)}")
        assert page.status_code == 403
        assert "set-cookie" not in page.headers


async def test_a_link_takes_no_rights_from_who_has_more(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with rig.client() as client:
        await client.post("/login", data={"token": rig.secret("control")})
        assert "set-cookie" not in (await client.get(f"/share/{rig.secret('share')}")).headers
        assert (await client.get("/api/v1/session")).json()["role"] == "control"


# --- failures ------------------------------------------------------------------------------------------------------


async def test_failed_logins_lock_an_address_out_for_a_while(tmp_path: Path) -> None:
    rig, clock = Rig(tmp_path), Time()
    rig.access.lockout = Lockout(clock)
    secret = rig.secret()
    async with rig.client() as client, rig.client(peer="198.51.100.9") as other:
        paths = ["/login", "/api/v1/login", "/share", "/bearer", "/login"]
        for path in paths:
            assert (await attempt(client, path, WRONG)).status_code == 401
        locked = await attempt(client, "/login", secret)
        assert (locked.status_code, locked.headers["Retry-After"]) == (429, "2")
        assert "wait 2 s" in locked.text
        assert (await attempt(client, "/api/v1/login", secret)).status_code == 429
        assert (await attempt(client, "/share", secret)).status_code == 429
        assert (await attempt(client, "/bearer", WRONG)).status_code == 429
        assert (await attempt(client, "/bearer", secret)).status_code == 503, "who has a token is not shut out"
        assert (await attempt(other, "/login", secret)).status_code == 303
        clock.now += 2
        assert (await attempt(client, "/login", secret)).status_code == 303
        client.cookies.clear()
        for path in paths[:4]:
            assert (await attempt(client, path, WRONG)).status_code == 401, "a login has ended the count"


async def attempt(client: httpx.AsyncClient, path: str, secret: str) -> httpx.Response:
    """Come in with this token, in one of the four ways."""
    if path == "/bearer":
        return await client.get("/api/v1/status", headers={"Authorization": f"Bearer {secret}"})
    if path == "/share":
        return await client.get(f"/share/{secret}")
    if path == "/login":
        return await client.post("/login", data={"token": secret})
    return await client.post("/api/v1/login", json={"token": secret})


async def test_an_expired_token_is_no_failed_login(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    secret = rig.secret(at=time.time() - 2 * DAY_SECS, days=1)
    async with rig.client() as client:
        for _ in range(8):
            page = await client.post("/login", data={"token": secret})
            assert page.status_code == 401
            assert "has expired" in page.text


async def test_no_secret_is_in_a_log_an_answer_or_a_repr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rig = Rig(tmp_path)
    good, share, gone = rig.secret("control"), rig.secret("share"), rig.secret()
    rig.tokens.revoke("t3")
    told = []
    async with rig.client() as client:
        for secret in (good, share, gone, WRONG):
            for path in ("/login", "/api/v1/login", "/share", "/bearer"):
                told.append((await attempt(client, path, secret)).text)
                client.cookies.clear()
        told.append((await client.post("/api/v1/login", json={"token": [good]})).text)
        told.append((await client.post("/api/v1/login", json={good: good})).text)
    (tmp_path / "web-tokens.json").write_text("{")
    assert rig.access.registry.tokens == {}
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "asyncio"))]
    assert any("unknown token" in line for line in logged)
    assert any("is damaged" in line for line in logged)
    kept = repr(rig.tokens) + repr(vars(rig.access)) + repr(rig.setup)
    for text in [*told, *logged, kept]:
        for secret in (good, share, gone, WRONG):
            assert secret not in text
            assert (session_of(secret) or "?") not in text


def test_the_cookies_of_two_servers_on_one_machine_are_two(tmp_path: Path) -> None:
    names = {Access(Rig(tmp_path, f"0.0.0.0:{port}").setup).cookie for port in (3380, 3381)}
    assert len(names) == 2
