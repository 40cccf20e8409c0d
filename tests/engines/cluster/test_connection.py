"""A connection leaves a server that is cut off for another one, also over TLS, which would wait for its farewell."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from solominer.engines.cluster import connection
from solominer.engines.cluster.connection import CONNECT_SECS, connect
from solominer.engines.cluster.join_file import ClusterFiles
from tests.engines.cluster.server import made, running
from tests.faults.link import Link

TLS_SECS = 30
"""How long TLS waits for the farewell of a server that is cut off, and the client with it if nothing ends that."""


async def test_a_server_that_is_cut_off_is_left_for_another(tmp_path: Path) -> None:
    folder = made(tmp_path, [])
    port = int(folder.read().servers[0].rpartition(":")[2])
    there = asyncio.Event()

    async def back() -> None:
        there.set()

    with running(folder), Link(port) as one, Link(port) as other:
        links = {f"nats://localhost:{link.port}": link for link in (one, other)}
        tls = ClusterFiles.read(folder.path).tls_context()
        client = await connect(tuple(links), "head", tls=tls, inbox="_INBOX.x", back=back)
        assert client.connected_url is not None
        first = client.connected_url.geturl()
        there.clear()
        links[first].cut()
        await asyncio.wait_for(there.wait(), TLS_SECS - 5)
        assert client.connected_url is not None
        assert client.connected_url.geturl() != first
        links[first].mend()
        await client.close()


async def test_a_try_without_an_answer_is_closed_by_the_next(tmp_path: Path) -> None:
    """The warning of a socket left open would fail this test."""
    folder = made(tmp_path, [])
    port = int(folder.read().servers[0].rpartition(":")[2])
    there = asyncio.Event()

    async def back() -> None:
        there.set()

    with running(folder), Link(port) as link:
        tls = ClusterFiles.read(folder.path).tls_context()
        client = await connect((f"nats://localhost:{link.port}",), "head", tls=tls, inbox="_INBOX.x", back=back)
        there.clear()
        link.cut()
        again = asyncio.create_task(client.force_reconnect())
        await asyncio.sleep(CONNECT_SECS + 1)
        assert not there.is_set()
        link.mend()
        await asyncio.wait_for(there.wait(), 20)
        await again
        await client.close()


async def test_a_task_whose_cancellation_was_swallowed_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CANCEL_SECS", 0.05)
    swallowed = 0

    async def swallows_one() -> None:
        nonlocal swallowed
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            swallowed += 1
        await asyncio.sleep(60)

    async def fails() -> None:
        raise OSError

    tasks = [asyncio.create_task(each) for each in (swallows_one(), fails())]
    await asyncio.sleep(0)
    await connection.end(tasks)
    assert swallowed == 1
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), OSError)
    await connection.end([])
