"""`watch` on the control socket, and the state as JSON."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.daemon import status_feed
from solominer.daemon.control_socket import ControlServer
from solominer.daemon.status_feed import StatusFeed
from solominer.views.snapshot import Snapshot, encode
from tests.web.states import snapshot


class Source:
    """A state that the test changes."""

    def __init__(self) -> None:
        self.state = snapshot()
        self.made = 0

    def __call__(self) -> Snapshot:
        self.made += 1
        return self.state


@pytest.fixture
def source() -> Source:
    return Source()


async def served(folder: Path, source: Source) -> tuple[ControlServer, asyncio.Task[None]]:
    feed = StatusFeed(source, lambda: source.state.tip_hex)
    server = ControlServer(folder, {}, {"watch": feed.lines})
    task = asyncio.create_task(server.run())
    while not server.path.exists():
        await asyncio.sleep(0)
    return server, task


async def test_a_state_comes_at_once_then_each_second_and_when_something_urgent_changes(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_feed, "LOOK_SECS", 0.01)
    monkeypatch.setattr(status_feed, "EVERY_SECS", 60.0)
    server, task = await served(tmp_path, source)
    reader, writer = await asyncio.open_unix_connection(server.path, limit=1 << 20)
    writer.write(b'{"do":"watch"}\n')

    async def line() -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(await asyncio.wait_for(reader.readline(), 10))
        assert parsed["ok"] is True
        return parsed["status"]  # type: ignore[no-any-return]

    assert (await line())["tip_hex"] == source.state.tip_hex
    source.state = replace(source.state, tip_hex="ab" * 32)
    assert (await line())["tip_hex"] == "ab" * 32
    source.state = replace(source.state, shares=77)
    monkeypatch.setattr(status_feed, "EVERY_SECS", 0.1)  # as when a second has passed
    assert (await line())["shares"] == 77
    writer.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_state_is_made_once_for_all_and_not_at_all_for_nobody(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_feed, "LOOK_SECS", 60.0)
    feed = StatusFeed(source, lambda: 0)
    assert source.made == 0
    watchers = [feed.lines(None) for _ in range(20)]  # type: ignore[arg-type]
    lines = [await anext(watcher) for watcher in watchers]
    assert len(set(lines)) == 1
    assert source.made == 1


async def test_a_watcher_that_does_not_read_is_disconnected(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_feed, "EVERY_SECS", 0.0)
    monkeypatch.setattr(status_feed, "LOOK_SECS", 0.0)
    monkeypatch.setattr("solominer.daemon.control_socket.IDLE_SECS", 0.2)
    source.state = replace(source.state, data_dir="x" * 500_000)
    server, task = await served(tmp_path, source)
    _, writer = await asyncio.open_unix_connection(server.path)
    writer.write(b'{"do":"watch"}\n')
    async with asyncio.timeout(20):
        while not server._connections:
            await asyncio.sleep(0.01)
        while server._connections:
            await asyncio.sleep(0.01)
    made = source.made
    assert made
    await asyncio.sleep(0.1)
    assert source.made == made
    writer.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_hashes_beyond_64_bits_and_numbers_that_are_not_finite_become_json() -> None:
    state = replace(snapshot(), hashes=10**23, rate_high_hps=float("inf"))
    parsed = json.loads(encode(state))
    assert parsed["hashes"] == 10**23
    assert parsed["rate_high_hps"] is None
    small = json.loads(encode(replace(state, hashes=7)))
    assert {**parsed, "hashes": 7} == small
