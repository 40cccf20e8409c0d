"""A connection leaves a server that is cut off for another one, also over TLS, which would wait for its farewell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from solominer.engines.cluster import connection
from solominer.engines.cluster.connection import CONNECT_SECS, connect
from solominer.engines.cluster.join_file import ClusterFiles
from tests.engines.cluster.server import made, running
from tests.faults.link import Link

TLS_SECS = 30
"""How long TLS waits for the farewell of a server that is cut off, and the client with it if nothing ends that."""


@asynccontextmanager
async def connected(path: Path, count: int) -> AsyncIterator[tuple[Client, dict[str, Link], asyncio.Event]]:
    """A client of a server behind so many links, these by their URL, and what is set when it is connected again."""
    folder, again = made(path, []), asyncio.Event()
    port = int(folder.read().servers[0].rpartition(":")[2])

    async def back() -> None:
        again.set()

    with running(folder), ExitStack() as stack:
        made_links = (stack.enter_context(Link(port)) for _ in range(count))
        links = {f"nats://localhost:{link.port}": link for link in made_links}
        tls = ClusterFiles.read(folder.path).tls_context()
        client = await connect(tuple(links), "head", tls=tls, inbox="_INBOX.x", back=back)
        again.clear()
        yield client, links, again
        await client.close()


async def test_a_server_that_is_cut_off_is_left_for_another(tmp_path: Path) -> None:
    async with connected(tmp_path, 2) as (client, links, again):
        assert client.connected_url is not None
        first = client.connected_url.geturl()
        links[first].cut()
        await asyncio.wait_for(again.wait(), TLS_SECS - 5)
        assert client.connected_url is not None
        assert client.connected_url.geturl() != first
        links[first].mend()


async def test_a_try_without_an_answer_is_closed_by_the_next(tmp_path: Path) -> None:
    """The warning of a socket left open would fail this test."""
    async with connected(tmp_path, 1) as (client, links, again):
        (link,) = links.values()
        link.cut()
        trying = asyncio.create_task(client.force_reconnect())
        await asyncio.sleep(CONNECT_SECS + 1)
        assert not again.is_set()
        link.mend()
        await asyncio.wait_for(again.wait(), 20)
        await trying


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
