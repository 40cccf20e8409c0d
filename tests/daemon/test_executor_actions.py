"""The executor's actions on fake nodes: each ends in its event, and no failure of one ends the daemon."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from solominer.daemon.executor import Executor
from solominer.engines.engine_set import EngineSet
from solominer.errors import JournalFailed, NodeUnreachable, SigningRefused
from solominer.records.journal.journal import Written
from solominer.records.journal.recovery import JournalEntry, Replay
from solominer.records.recorder import Recorder
from solominer.work.actions import (
    CompareNodes,
    LocateBlock,
    LookAtNode,
    ProposeBlock,
    Record,
    RefreshTemplate,
    SaveBlock,
    SendBlock,
    SignJob,
    StopWork,
)
from solominer.work.events import (
    Answer,
    BlockSaved,
    BlockSeen,
    HealthSeen,
    JobSigned,
    NewTip,
    NodesCompared,
    SubmitAnswered,
)
from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Instant
from solominer.work.ports import Node
from solominer.work.workers import ExtranonceDealer, WorkerId
from tests.fakes import FakeChain, FakeEngine, FakeNode
from tests.work.builders import T0, feed, mining, of_type, solution, tip

E = TypeVar("E")


class Bench:
    """A executor that is never run: what the actions post stays in its queue."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder, "regtest", on_alarm=lambda *alarm: None)
        self.recorder.open(T0.wall, {})
        self.machine, self.job = mining()
        chain = FakeChain()
        self.a, self.b = (FakeNode(name, self.post, chain) for name in "ab")
        nodes: dict[str, Node] = {"a": self.a, "b": self.b}
        self.engine = FakeEngine()
        self.tasks: list[asyncio.Task[None]] = []
        self.repeated: list[Any] = []
        observer: Any = SimpleNamespace(
            published=lambda job: None,
            share=lambda seen: None,
            block=lambda block, job: None,
            repeated=self.repeated.append,
        )
        engines = EngineSet([self.engine], ExtranonceDealer(1))
        self.executor = Executor(
            self.machine, engines, nodes, self.recorder, self.spawn, observer, lambda: Instant(T0.wall, 1.0)
        )

    def post(self, event: Any) -> None:
        self.executor.post(event)

    def spawn(self, work: Any) -> None:
        self.tasks.append(asyncio.create_task(work))

    def block(self) -> FoundBlock:
        (saved,) = of_type(SaveBlock, feed(self.machine, solution(self.job)))
        return saved.block

    async def done(self, *actions: Any) -> None:
        """Carry out actions until nothing is under way."""
        self.executor.do(list(actions))
        while self.tasks:
            await asyncio.wait_for(self.tasks.pop(0), 10)

    async def posted(self, kind: type[E]) -> E:
        async with asyncio.timeout(10):
            while True:
                event = await self.executor.queue.get()
                if isinstance(event, kind):
                    return event


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for task in made.tasks:
        task.cancel()
    made.recorder.close(T0.wall + 1)


async def test_questions_become_events(bench: Bench) -> None:
    await bench.done(LookAtNode("a"), CompareNodes("a", "b"))
    assert (await bench.posted(HealthSeen)).health.node == "a"
    assert (await bench.posted(NodesCompared)).common_height == bench.a.chain.tip.height


async def test_nodes_that_do_not_answer_post_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*arguments: object) -> Any:
        raise RuntimeError("a bug")

    async def away(height: int) -> bytes:
        raise NodeUnreachable("it is away")

    monkeypatch.setattr(bench.b, "hash_at", away)
    bench.a.positions.append(NodeUnreachable("it is away"))
    await bench.done(CompareNodes("a", "b"), LocateBlock("a", tip(1), 1))
    monkeypatch.setattr(bench.a, "where_is", breaks)
    await bench.done(LocateBlock("a", tip(1), 1))
    assert len(bench.executor.queue) == 0
    await bench.done(LocateBlock("b", tip(1), 1))
    assert (await bench.posted(BlockSeen)).node == "b"


async def test_any_node_may_sign(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sign(data: bytes) -> bytes:
        assert len(data) == 72
        return b"solution"

    async def refuse(data: bytes) -> bytes:
        raise SigningRefused("it has no key", "import it")

    action = SignJob("b", replace(bench.job, signed_extranonce=bytes(12)))
    monkeypatch.setattr(bench.b, "sign", refuse)
    await bench.done(action)
    assert (await bench.posted(JobSigned)).problem == "b: it has no key; a: the fake node has no wallet"
    monkeypatch.setattr(bench.a, "sign", sign)
    await bench.done(action)
    assert (await bench.posted(JobSigned)).solution == b"solution"


async def test_templates_are_fetched_one_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: list[str] = []

    async def fetch(reason: str) -> None:
        reasons.append(reason)
        await asyncio.sleep(0)

    monkeypatch.setattr(bench.a, "fetch_template", fetch)
    await bench.done(*(RefreshTemplate("a", reason) for reason in ("one", "two", "three")))
    assert reasons == ["one", "three"]


async def test_a_submission_that_breaks_is_unknown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(block_hex: str) -> Any:
        raise RuntimeError("a bug")

    block = bench.block()
    await bench.done(SaveBlock(block), SendBlock("a", block, 1), ProposeBlock("b", block))
    answers = [await bench.posted(SubmitAnswered), await bench.posted(SubmitAnswered)]
    assert {each.node for each in answers} == {"a", "b"}
    monkeypatch.setattr(bench.a, "submit", breaks)
    await bench.done(SendBlock("a", block, 2))
    answer = await bench.posted(SubmitAnswered)
    assert (answer.answer, answer.raw) == (Answer.UNKNOWN, "not answered: RuntimeError: a bug")


async def test_a_block_of_which_no_copy_is_left_is_an_alarm(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.done(SendBlock("a", replace(bench.block(), block_hex=""), 1))
    assert (await bench.posted(SubmitAnswered)).raw == "not sent: no complete copy is left"
    assert "[block-not-kept]" in caplog.text


async def test_a_disk_or_a_proof_that_fails_holds_no_block_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    later: list[FoundBlock] = []

    def breaks(*arguments: object) -> Any:
        raise RuntimeError("no thread")

    async def fails(block: FoundBlock) -> bool:
        return False

    async def save_later(block: FoundBlock) -> None:
        later.append(block)

    saver, block = bench.executor._saver, bench.block()
    monkeypatch.setattr(saver, "begin", breaks)
    monkeypatch.setattr(bench.recorder, "block", breaks)
    monkeypatch.setattr(saver, "save", fails)
    monkeypatch.setattr(saver, "save_later", save_later)
    await bench.done(SaveBlock(block), SendBlock("a", block, 1))
    assert later == [block]
    assert (await bench.posted(SubmitAnswered)).node == "a"
    assert "cannot start writing block" in caplog.text
    assert f"cannot record the proof of block {block.hash_hex}" in caplog.text
    monkeypatch.setattr(saver, "until_put", breaks)
    await bench.done(SaveBlock(block))
    assert "_save failed unexpectedly" in caplog.text


async def test_the_finder_hears_of_a_block_when_it_is_on_disk_and_not_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver, block = bench.executor._saver, bench.block()
    block = replace(block, worker=WorkerId(bench.engine.name, "0"))
    heard: list[list[bytes]] = []

    async def fails(block: FoundBlock) -> bool:
        return False

    async def save_later(block: FoundBlock) -> None:
        heard.append(list(bench.engine.saved))

    await bench.done(SaveBlock(block))
    assert bench.engine.saved == [block.hash_le]
    bench.engine.saved.clear()
    monkeypatch.setattr(saver, "save", fails)
    monkeypatch.setattr(saver, "save_later", save_later)
    await bench.done(SaveBlock(block))
    assert heard == [[]]
    assert bench.engine.saved == [block.hash_le]
    assert (await bench.posted(BlockSaved)).hash_le == (await bench.posted(BlockSaved)).hash_le == block.hash_le


async def test_work_stops_at_a_new_tip_and_repeats_are_counted(bench: Bench) -> None:
    bench.executor.post(NewTip(T0, "a", tip(2), "zmq"))
    await bench.done(StopWork("new tip"), Record("share_duplicate", {"worker": "cpu/0"}))
    assert "stop_work" in bench.engine.calls
    assert [str(worker) for worker in bench.repeated] == ["cpu/0"]


async def test_the_end_waits_only_so_long_and_the_journal_is_quoted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "solominer")
    bench.executor.post(NewTip(T0, "a", tip(2), "zmq"))
    await bench.executor.settle(0.01)
    bench.executor.restore(Replay([], ["a folder without a block"]))
    assert "no answer from a node in 0.01 s" in caplog.text
    assert "journal: a folder without a block" in caplog.text


async def test_at_the_end_a_block_that_no_disk_took_is_tried_once_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try may be half a minute away, and the disk have room by now."""
    journal, block, saves = bench.recorder.journal, bench.block(), []

    def save(block: FoundBlock) -> Written:
        saves.append(block)
        if len(saves) == 1:
            raise JournalFailed("no room", "make room")
        return real(block)

    real = journal.save
    monkeypatch.setattr(journal, "save", save)
    saver = bench.executor._saver
    assert not await saver.save(block)
    feed(bench.machine, SubmitAnswered(T0, "a", block.hash_le, Answer.ACCEPTED, "null", 1, 0.0))
    await bench.executor.settle(60)
    assert await saver.kept_hex(block.hash_le) == block.block_hex


async def test_the_engine_hears_of_blocks_that_are_on_disk_from_an_earlier_run(bench: Bench) -> None:
    """Its miner may hand the block in again, as the answer may not have left."""
    block = replace(bench.block(), worker=WorkerId(bench.engine.name, "0"))
    entry = JournalEntry(block.height, block.hash_le, block, BlockState.SENT, None, False, 0, (), ())
    bench.executor.restore(Replay([entry], []))
    assert bench.engine.saved == [block.hash_le]


async def test_an_engine_hears_that_a_share_was_judged_and_of_a_block_when_it_is_on_disk(bench: Bench) -> None:
    block = replace(solution(bench.job), worker=WorkerId("fake", "0"))
    bench.executor._handle(block)
    assert (bench.engine.judged, bench.engine.saved) == ([], [])
    for task in bench.tasks:
        await asyncio.wait_for(task, 10)
    assert bench.engine.judged == [block]
    assert len(bench.engine.saved) == 1
    bench.executor._handle(block)  # handed in again
    unknown = replace(block, job_id=999, is_block=False)
    bench.executor._handle(unknown)
    assert bench.engine.judged == [block, block, unknown]


async def test_a_block_that_is_handed_in_again_while_the_disk_fails_is_not_judged_before_it_is_saved(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster's server forgets what was judged, and may have the only copy."""
    saving = asyncio.Event()

    async def fails(block: FoundBlock) -> bool:
        return False

    async def save_later(block: FoundBlock) -> None:
        await saving.wait()

    monkeypatch.setattr(bench.executor._saver, "save", fails)
    monkeypatch.setattr(bench.executor._saver, "save_later", save_later)
    block = replace(solution(bench.job), worker=WorkerId("fake", "0"))
    for _ in range(2):
        bench.executor._handle(block)
        await asyncio.sleep(0.05)
        assert (bench.engine.judged, bench.engine.saved) == ([], [])
    saving.set()
    for task in bench.tasks:
        await asyncio.wait_for(task, 10)
    assert bench.engine.judged == [block]


@pytest.mark.parametrize("part", ["share", "repeated", "state"])
async def test_an_observer_that_fails_holds_no_block_up(
    bench: Bench, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*arguments: object) -> Any:
        raise RuntimeError("a bug of the observer")

    if part == "state":
        bench.executor._block_state = breaks
    else:
        setattr(bench.executor._observer, part, breaks)
    share = replace(solution(bench.job), worker=WorkerId("fake", "0"))
    if part == "repeated":
        bench.machine.judge.judge(share, b"")
    bench.executor._handle(share)
    for task in bench.tasks:
        await asyncio.wait_for(task, 10)
    assert len(bench.a.submitted) == len(bench.engine.saved) == 1
    assert "a bug of the observer" in caplog.text
