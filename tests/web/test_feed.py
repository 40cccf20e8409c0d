"""The web server's connection to the daemon, and the state over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from solominer.config.web import WebConfig
from solominer.daemon.control_socket import ControlServer
from solominer.web import feed as feed_module
from solominer.web.app import create_app
from solominer.web.feed import DaemonFeed
from solominer.web.server import WebServer
from solominer.web.setup import WebSetup
from solominer.web.site import Site
from tests.ports import free_port
from tests.web.states import FakeDaemon


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "RETRY_SECS", 0.02)


@asynccontextmanager
async def following(folder: Path) -> AsyncIterator[DaemonFeed]:
    feed = DaemonFeed(folder)
    task = asyncio.create_task(feed.run())
    yield feed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(feed: DaemonFeed, *, running: bool) -> None:
    async with asyncio.timeout(10):
        while feed.running is not running:
            await asyncio.sleep(0.01)


async def test_the_newest_state_is_kept_when_the_daemon_is_lost_and_renewed_when_it_is_back(tmp_path: Path) -> None:
    async with following(tmp_path) as feed:
        assert (feed.running, feed.status, feed.line) == (False, None, b"")
        daemon = FakeDaemon(tmp_path)
        async with daemon.serving():
            await until(feed, running=True)
            assert feed.status is not None
            assert (feed.status["height"], feed.lost_at) == (120, None)
            assert json.loads(feed.line) == feed.status
        await until(feed, running=False)
        assert feed.status["height"] == 120
        assert feed.lost_at is not None
        daemon.state = replace(daemon.state, height=121)
        async with daemon.serving():
            await until(feed, running=True)
            async with asyncio.timeout(10):
                while feed.status["height"] != 121:
                    await asyncio.sleep(0.01)


async def test_a_daemon_without_watch_is_not_running(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One of an older version answers that it does not know the request."""
    server = ControlServer(tmp_path, {})
    task = asyncio.create_task(server.run())
    async with following(tmp_path) as feed:
        await asyncio.sleep(0.3)
        assert not feed.running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    setup = WebSetup(
        folder=folder, network="regtest", simulated=False, web=WebConfig(listen=f"127.0.0.1:{free_port()}")
    )
    server = WebServer(create_app(Site.of(setup)), setup.web)
    ready = asyncio.Event()
    task = asyncio.create_task(server.serve(ready.set))
    await asyncio.wait_for(ready.wait(), 10)
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        yield client
    server.stop()
    await asyncio.wait_for(task, 10)


async def test_status_over_http(tmp_path: Path) -> None:
    async with browsing(tmp_path) as client:
        reply = await client.get("/api/v1/status")
        assert reply.status_code == 503
        assert "solominer run" in reply.json()["todo"]
        daemon = FakeDaemon(tmp_path)
        async with daemon.serving():
            while (reply := await client.get("/api/v1/status")).status_code == 503:
                await asyncio.sleep(0.02)
            assert reply.headers["daemon"] == "running"
            assert reply.headers["content-security-policy"].startswith("default-src 'self'")
            assert (reply.json()["height"], reply.json()["version"]) == (120, 1)
        while (reply := await client.get("/api/v1/status")).headers["daemon"] == "running":
            await asyncio.sleep(0.02)
        assert (reply.status_code, reply.json()["height"]) == (200, 120)


async def test_events_over_a_restart_of_the_daemon(tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path)
    async with browsing(tmp_path) as client, client.stream("GET", "/api/v1/events") as stream:
        lines = stream.aiter_lines()

        async def event() -> tuple[str, dict[str, object]]:
            while not (line := await asyncio.wait_for(anext(lines), 10)).startswith("event: "):
                pass
            return line.removeprefix("event: "), json.loads((await anext(lines)).removeprefix("data: "))

        assert (await event())[0] == "lost"
        async with daemon.serving():
            name, state = await event()
            assert (name, state["height"]) == ("status", 120)
            daemon.state = replace(daemon.state, height=121, tip_hex="33" * 32)
            while (await event())[1].get("height") != 121:
                pass
        while (await event())[0] != "lost":
            pass


async def test_everybody_who_waits_hears_of_every_change(tmp_path: Path) -> None:
    async with following(tmp_path) as feed, FakeDaemon(tmp_path).serving():
        streams = [feed.changes() for _ in range(50)]
        for stream in streams:
            await anext(stream)
        async with asyncio.timeout(10):
            await asyncio.gather(*(anext(stream) for stream in streams))
