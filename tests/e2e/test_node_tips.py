"""Tips of a real node, as the node client tells of them: by ZMQ, by the poll behind it, by long poll; over
reorganizations of the same and of greater height, and over a restart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from regtest.scenarios import mine_blocks, reorganize, same_height_reorg
from solominer.chain.hashes import to_rpc_hex
from solominer.daemon.host_metrics import now
from solominer.node.client import NodeClient
from solominer.node.private.node import PrivateNode
from solominer.work.events import HealthSeen, NewTip
from tests.e2e.mined import settings_of
from tests.node.inbox import Inbox

pytestmark = pytest.mark.e2e

NEVER_SECS = 3600.0


@asynccontextmanager
async def watching(node: PrivateNode, **more: Any) -> AsyncIterator[tuple[NodeClient, Inbox]]:
    """A running client of the node that has told of its tip and health, and where it posts."""
    inbox = Inbox()
    node_client = NodeClient(settings_of(node, **more), inbox.post, now)
    task = asyncio.create_task(node_client.run())
    try:
        await inbox.next(NewTip)
        await inbox.next(HealthSeen)
        yield node_client, inbox
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await node_client.close()


def zmq_of(node: PrivateNode) -> dict[str, str]:
    """The node's ZMQ addresses as settings."""
    return {"zmq_hashblock": node.zmq_hashblock, "zmq_sequence": node.zmq_sequence}


async def _connected(node_client: NodeClient) -> None:
    """Wait for the ZMQ handshakes."""
    async with asyncio.timeout(20):
        while (await node_client.look()).zmq != "live":
            await asyncio.sleep(0.01)


async def _live(node: PrivateNode, node_client: NodeClient, inbox: Inbox) -> None:
    """Wait until all publishers are heard: subscriptions travel behind the handshakes, so mine until they are there."""
    await _connected(node_client)
    publishers = node_client._zmq.publishers
    for each in publishers:
        each._expected = None
    while any(each._expected is None for each in publishers) or inbox.of(NewTip)[-1].source != "zmq":

        def mine() -> str:
            (tip_hex,) = mine_blocks(node, 1)
            time.sleep(0.1)
            return tip_hex

        asyncio.get_running_loop().call_later(0.2, node_client._watch.kick)
        await _does(mine, inbox)
    await _polls_are_through(node_client)


async def _does(action: Callable[[], str], inbox: Inbox) -> NewTip:
    """Do something that leads to the tip that it returns; the last event, once it tells of that tip."""
    tip_hex = await asyncio.to_thread(action)
    await inbox.until(lambda: to_rpc_hex(inbox.of(NewTip)[-1].hash_le) == tip_hex)
    return inbox.of(NewTip)[-1]


async def _polls_are_through(node_client: NodeClient) -> None:
    """Each hint is confirmed by a poll, which on a busy machine could be late enough to see the next block first."""
    for _ in range(3):
        await asyncio.sleep(0.02)
        await node_client._ask("poll", lambda client: None)


async def test_zmq_alone_tells_of_every_tip(node: PrivateNode) -> None:
    """With a poll that never comes by itself: blocks, a reorganization of depth 3, one of the same height."""
    mine_blocks(node, 5)
    async with watching(node, poll_secs=NEVER_SECS, **zmq_of(node)) as (node_client, inbox):
        await _live(node, node_client, inbox)
        assert (await _does(lambda: mine_blocks(node, 1)[0], inbox)).source == "zmq"
        await _does(lambda: reorganize(node, 3), inbox)
        height = node.call("getblockcount")
        await _does(lambda: same_height_reorg(node), inbox)
        assert node.call("getblockcount") == height


async def test_a_block_that_is_taken_away_is_noticed_at_once(node: PrivateNode) -> None:
    """`hashblock` says nothing of it; `sequence` does, and the poll that it asks for finds the old tip."""
    async with watching(node, poll_secs=NEVER_SECS, **zmq_of(node)) as (node_client, inbox):
        await _live(node, node_client, inbox)
        tip_hex = str(node.call("getbestblockhash"))
        parent_hex = str(node.call("getblockheader", tip_hex)["previousblockhash"])

        def take_away() -> str:
            node.call("invalidateblock", tip_hex)
            return parent_hex

        assert (await _does(take_away, inbox)).source == "poll"


async def test_every_block_is_told_by_zmq_and_by_nothing_else(node: PrivateNode) -> None:
    """No poll comes in time here. How fast ZMQ is, is measured by scripts/bench_latency."""
    async with watching(node, poll_secs=NEVER_SECS, **zmq_of(node)) as (node_client, inbox):
        await _live(node, node_client, inbox)
        before = len(inbox.of(NewTip))
        for _ in range(20):
            await _does(lambda: mine_blocks(node, 1)[0], inbox)
            await _polls_are_through(node_client)
        assert {each.source for each in inbox.of(NewTip)[before:]} == {"zmq"}


async def test_long_poll_where_there_is_no_zmq(node: PrivateNode) -> None:
    """No poll comes by itself; the one beside each long poll may now and then be the first to see a tip."""
    async with watching(node, poll_secs=NEVER_SECS) as (node_client, inbox):
        assert (await node_client.look()).zmq == "off"
        sources = set()
        for act in (lambda: mine_blocks(node, 1)[0], lambda: same_height_reorg(node)) * 3:
            await asyncio.sleep(0.1)
            sources.add((await _does(act, inbox)).source)
        assert "longpoll" in sources


async def test_silent_zmq_costs_a_poll_interval_and_shows(node: PrivateNode, caplog: pytest.LogCaptureFixture) -> None:
    """Subscribed to a publisher of the node's that never says `hashblock`."""
    silent = {"zmq_hashblock": node.zmq_sequence}
    async with watching(node, poll_secs=0.2, **silent) as (node_client, inbox):
        await _connected(node_client)
        assert (await _does(lambda: mine_blocks(node, 1)[0], inbox)).source == "poll"
        async with asyncio.timeout(20):
            while (await node_client.look()).zmq != "silent":
                await asyncio.sleep(0.05)
        assert "is silent: only polling found a new tip" in caplog.text


async def test_a_restart_is_noticed_and_survived(node: PrivateNode) -> None:
    mine_blocks(node, 2)
    async with watching(node, poll_secs=0.2, **zmq_of(node)) as (node_client, inbox):
        await _live(node, node_client, inbox)
        await asyncio.to_thread(node.stop)
        await inbox.next(HealthSeen, lambda each: not each.health.reachable)
        await asyncio.to_thread(node.start)
        await inbox.until(lambda: inbox.of(HealthSeen)[-1].health.usable)
        await _live(node, node_client, inbox)
        await node_client.fetch_template("after the restart")


async def test_a_node_that_starts_later_is_waited_for(node: PrivateNode) -> None:
    """The daemon may be up before its node: no cookie, nobody at the port."""
    node.stop()
    inbox = Inbox()
    node_client = NodeClient(settings_of(node, poll_secs=0.2), inbox.post, now)
    task = asyncio.create_task(node_client.run())
    lost = await inbox.next(HealthSeen)
    assert "no cookie file" in lost.health.problem
    await asyncio.to_thread(node.start)
    await inbox.next(NewTip)
    await inbox.until(lambda: inbox.of(HealthSeen)[-1].health.usable)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await node_client.close()
