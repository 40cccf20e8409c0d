"""Access over real connections: TLS, proxies, WebSockets, and streams that end with their token."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from solominer.web import server as web_server
from solominer.web.access import guard
from solominer.web.access.access import MAX_OPEN
from solominer.web.connection import MAX_HEAD_BYTES, is_ours
from solominer.web.server import IdleConnections, WebServer
from tests.engines.stratum.pem import make_certificate
from tests.ports import free_port
from tests.web.access_rig import Rig


@asynccontextmanager
async def serving(folder: Path, host: str = "127.0.0.1", **web: Any) -> AsyncIterator[tuple[Rig, str]]:
    """A rig on a real listener, and its address (`127.0.0.1:PORT`)."""
    port = free_port()
    rig = Rig(folder, f"{host}:{port}", **web)
    server, ready = WebServer(rig.app, rig.setup.web), asyncio.Event()
    task = asyncio.create_task(server.serve(ready.set))
    await ready.wait()
    try:
        yield rig, f"127.0.0.1:{port}"
    finally:
        server.stop()
        await task


async def role(url: str, **headers: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as client:
        told: dict[str, Any] = (await client.get(f"http://{url}/api/v1/session", headers=headers)).json()
        return told


async def test_https_with_a_secure_cookie(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path / "pem", "localhost")
    trust = ssl.create_default_context(cafile=str(certificate))
    async with serving(tmp_path / "r", "0.0.0.0", tls_certificate=certificate, tls_key=key) as (rig, place):
        url = f"https://localhost:{place.partition(':')[2]}"
        async with httpx.AsyncClient(verify=trust, base_url=url, trust_env=False) as client:
            done = await client.post("/login", data={"token": rig.secret("control")}, headers={"Origin": url})
            assert done.status_code == 303
            assert "; Secure" in done.headers["set-cookie"]
            assert (await client.get("/api/v1/session")).json()["role"] == "control"
        with pytest.raises(httpx.RemoteProtocolError):
            await role(place)


async def test_a_named_proxy_tells_whose_request_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path, proxies=("127.0.0.1",)) as (rig, place):
        assert (await role(place))["local"] is False, "whoever comes from a proxy needs a token"
        assert (await role(place, **{"X-Forwarded-For": "127.0.0.1"}))["local"] is False
        async with httpx.AsyncClient(base_url=f"http://{place}", trust_env=False) as client:
            for address in ("198.51.100.4", "203.0.113.9, 198.51.100.4"):  # what is left of it, anybody may have sent
                sent = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
                done = await client.post("/login", data={"token": rig.secret()}, headers=sent)
                assert "; Secure" in done.headers["set-cookie"]
                assert (await client.post("/login", data={"token": "x"}, headers=sent)).status_code == 401
        assert rig.access.lockout._failures.keys() == {"198.51.100.4"}


async def test_nobody_else_is_believed_to_be_a_proxy(tmp_path: Path) -> None:
    async with serving(tmp_path, proxies=("192.0.2.0/24",)) as (rig, place):
        headers = {"X-Forwarded-For": "198.51.100.4", "X-Forwarded-Proto": "https"}
        async with httpx.AsyncClient(base_url=f"http://{place}", trust_env=False) as client:
            done = await client.post("/login", data={"token": rig.secret()}, headers=headers)
            assert "; Secure" not in done.headers["set-cookie"]
            assert (await client.post("/login", data={"token": "x"}, headers=headers)).status_code == 401
        assert rig.access.lockout._failures.keys() == {"127.0.0.1"}
        assert (await role(place))["local"]


async def test_a_proxy_is_known_on_a_listener_for_both_versions_of_ip(tmp_path: Path) -> None:
    """There an IPv4 peer is `::ffff:127.0.0.1`."""
    async with serving(tmp_path, "[::]", proxies=("127.0.0.0/8",)) as (rig, place):
        async with httpx.AsyncClient(base_url=f"http://{place}", trust_env=False) as client:
            await client.post("/login", data={"token": "x"}, headers={"X-Forwarded-For": "198.51.100.4"})
        assert rig.access.lockout._failures.keys() == {"198.51.100.4"}


async def test_websockets_keep_the_same_rules(tmp_path: Path) -> None:
    async with serving(tmp_path, "0.0.0.0") as (rig, place):
        bearer = {"Authorization": f"Bearer {rig.secret()}"}
        url = f"ws://{place}/api/v1/ws"
        refused: list[tuple[dict[str, str], int]] = [
            ({}, 401),
            ({"Authorization": "Bearer x"}, 401),
            ({**bearer, "Origin": "http://evil.example"}, 403),
            ({**bearer, "Origin": "null"}, 403),
        ]
        for headers, status in refused:
            with pytest.raises(InvalidStatus) as caught:
                await connect(url, additional_headers=headers, proxy=None).__aenter__()
            assert caught.value.response.status_code == status
            assert b'"todo"' in (caught.value.response.body or b"")
        for headers in (bearer, {**bearer, "Origin": f"http://{place}"}):
            async with connect(url, additional_headers=headers, proxy=None) as socket:
                await socket.send("?")
                assert "todo" in await socket.recv()
                await socket.send("x" * (guard.MAX_BODY_BYTES + 1))
                with pytest.raises(ConnectionClosed):
                    await socket.recv()


async def test_a_foreign_name_opens_no_websocket(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, place):
        port = place.partition(":")[2]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(
            b"GET /api/v1/ws HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert (await reader.readline()).split()[1] == b"421"
        writer.close()


async def test_streams_end_with_their_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RECHECK_SECS", 0.05)
    async with serving(tmp_path, "0.0.0.0") as (rig, place):
        headers = {"Authorization": f"Bearer {rig.secret()}"}
        async with (
            httpx.AsyncClient(headers=headers, trust_env=False, timeout=30) as client,
            client.stream("GET", f"http://{place}/api/v1/events") as stream,
            connect(f"ws://{place}/api/v1/ws", additional_headers=headers, proxy=None) as socket,
        ):
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("event: lost")
            await asyncio.sleep(0.2)  # several looks at a valid token
            await socket.send("?")
            assert "todo" in await socket.recv()
            rig.tokens.revoke("t1")
            began = time.monotonic()
            assert [line async for line in lines][-1] == ""
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1008
            assert time.monotonic() - began < 20
            assert (await client.get(f"http://{place}/api/v1/events")).status_code == 401


async def test_path_tricks_reach_no_file(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, place):
        rig.secret()
        (token,) = rig.tokens.load()
        reader, writer = await asyncio.open_connection(*place.split(":"))
        for path in (b"/../web-tokens.json", b"/%2e%2e/%2e%2e/web-tokens.json", b"//etc/passwd", b"/share/%2e%2e%2f"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split()[1] in (b"200", b"303", b"404"), path
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
            body = await reader.readexactly(size)
            assert token.hash.encode() not in body
            assert b"root:" not in body
        writer.close()


async def test_who_sends_no_request_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "LOOK_SECS", 0.02)
    monkeypatch.setattr(web_server, "REQUEST_SECS", 1.0)
    async with serving(tmp_path) as (_, place):
        host, port = place.split(":")
        clients = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        clients[1][1].write(b"GET /healthz HTTP/1.1\r\nHost: ")
        url = f"http://{place}/api/v1/ws".replace("http", "ws")
        async with connect(url, proxy=None) as socket, httpx.AsyncClient(trust_env=False) as http:
            began = time.monotonic()
            while time.monotonic() - began < 1.5:  # who goes on asking is served on the same connection
                assert (await http.get(f"http://{place}/healthz")).status_code == 200
                await asyncio.sleep(0.05)
            for reader, writer in clients:
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), 5) == b""
                writer.close()
            await socket.send("?")
            assert "todo" in await socket.recv()


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /%s",
        "GET / HTTP/1.1\r\nX: %s",
        "POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: %s",
    ],
    ids=["address", "header", "trailer"],
)
async def test_a_head_without_end_takes_no_memory(tmp_path: Path, request_line: str) -> None:
    async with serving(tmp_path) as (_, place):
        _reader, writer = await asyncio.open_connection(*place.split(":"))
        sent = (request_line % "").encode()
        with suppress(ConnectionError):
            for _ in range(1000):  # 64 MB
                writer.write(sent)
                await asyncio.wait_for(writer.drain(), 5)
                sent = MAX_HEAD_BYTES * b"x"
            pytest.fail("it goes on reading")
        writer.close()


async def test_a_head_that_is_too_long_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, place):
        reader, writer = await asyncio.open_connection(*place.split(":"))
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + MAX_HEAD_BYTES * b"x")
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b'"todo"' in answer
        writer.close()
        reader, writer = await asyncio.open_connection(*place.split(":"))
        for _ in range(40):  # on one connection each request has its own
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + 4000 * b"x" + b"\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
        writer.close()


async def test_a_clients_faults_are_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path) as (_, place):
        reader, writer = await asyncio.open_connection(*place.split(":"))
        writer.write(b"nonsense\r\n\r\n")
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        with pytest.raises(InvalidStatus):
            await connect(f"ws://{place}/api/v1/ws", origin=Origin("http://evil.example"), proxy=None).__aenter__()
    assert [
        record.getMessage() for record in caplog.records if record.name == "uvicorn.error" and is_ours(record)
    ] == []


def test_one_address_holds_so_many_idle_connections_and_no_more() -> None:
    class Held:
        def __init__(self, host: str, cycle: Any = None) -> None:
            self.client, self.cycle, self.transport, self.closed = (host, 1), cycle, self, False

        def abort(self) -> None:
            self.closed = True

    served = Held("198.51.100.4", SimpleNamespace(response_complete=False))
    local = [Held("127.0.0.1") for _ in range(MAX_OPEN + 5)]
    connections = [served, *local]
    looks = IdleConnections(lambda: connections, behind_proxy=False)
    for number in range(MAX_OPEN + 5):
        connections.append(Held("198.51.100.4"))
        looks.look(float(number) / 10)
    remote = connections[len(local) + 1 :]
    assert [each.closed for each in remote] == 5 * [True] + MAX_OPEN * [False], "the oldest ones go"
    assert not any(each.closed for each in (served, *local))
    proxied = [Held("192.0.2.1") for _ in range(2 * MAX_OPEN)]
    IdleConnections(lambda: proxied, behind_proxy=True).look(1.0)
    assert not any(each.closed for each in proxied)
