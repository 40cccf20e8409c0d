"""The fakes keep to the ports, and do what tests rely on."""

from __future__ import annotations

import asyncio

import pytest

from solominer.errors import EngineError, NodeUnreachable
from solominer.work.events import Answer, Event, ShareFound, TemplateReady, WorkerStarted
from solominer.work.found import solve
from solominer.work.ports import BlockPosition, Engine, Node, SubmitReply
from solominer.work.workers import ExtranonceRange
from tests.fakes import FakeChain, FakeEngine, FakeNode
from tests.work.builders import mining


async def test_a_fake_engine_finds_blocks_and_shares_that_are_none_each_in_its_own_space() -> None:
    _, job = mining()
    fake, events = FakeEngine(workers=2, credited=True), list[Event]()
    engine: Engine = fake
    await engine.start(events.append, ExtranonceRange(7, 2))
    engine.publish(job, clean=True)
    block, share = fake.find(block=True), fake.find(worker=1, block=False)
    assert [event for event in events if isinstance(event, ShareFound)] == [block, share]
    assert len([event for event in events if isinstance(event, WorkerStarted)]) == 2
    assert (block.is_block, share.is_block) == (True, False)
    assert (block.extranonce[:4], share.extranonce[:4]) == (b"\0\0\0\7", b"\0\0\0\x08")
    assert [worker.hashes_credited for worker in engine.snapshot().workers] == [1, 1]
    fake.raises.add("publish")
    with pytest.raises(EngineError):
        engine.publish(job, clean=True)


async def test_a_fake_node_takes_a_solved_block_and_its_chain_may_reorganize() -> None:
    chain, events = FakeChain(), list[Event]()
    fake = FakeNode("a", events.append, chain)
    node: Node = fake
    parent = chain.tip
    await node.fetch_template("a test")
    (ready,) = events
    assert isinstance(ready, TemplateReady)
    _, job = mining()
    engine = FakeEngine()
    await engine.start(lambda event: None, ExtranonceRange(0, 1))
    share = engine.find(job=job, block=True)
    header = job.header(share.extranonce, share.version, share.ntime, share.nonce)
    block = solve(job, header, share.extranonce, found_at=0.0, worker=share.worker, kernel="")
    assert (await node.submit(block.block_hex)).answer is Answer.RETRY  # on another parent than this chain's
    theirs = fake.mine()
    assert await node.where_is(theirs.hash_le, theirs.height) == BlockPosition(1, "")
    chain.mine(chain.mine(parent.hash_le).hash_le)
    assert (await node.where_is(theirs.hash_le, theirs.height)).confirmations == -1
    fake.answers.append(SubmitReply(Answer.INVALID, "bad-txns", 0.0))
    assert (await node.submit(block.block_hex)).raw == "bad-txns"
    fake.down = NodeUnreachable("it is down")
    with pytest.raises(NodeUnreachable):
        await node.hash_at(theirs.height)
    assert not (await node.look()).usable
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(node.run(), 0)
