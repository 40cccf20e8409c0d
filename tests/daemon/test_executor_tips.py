"""The executor at a new tip: the header that the empty job is made of is asked for before the template."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from solominer.daemon.executor import HEADER_FIRST_SECS, Executor
from solominer.errors import NodeUnreachable
from solominer.records.recorder import Recorder
from solominer.work.actions import Action, FetchTipHeader, PublishJob, RefreshTemplate
from solominer.work.events import NewTip, PauseWanted, ResumeWanted, TipFacts
from tests.fakes import real_clock
from tests.hashing.jobs import make_job
from tests.work.builders import coordinator, tip

NEWS: list[Action] = [FetchTipHeader("a", tip(2)), RefreshTemplate("a", "new tip")]


class Node:
    """A node that notes what is asked of it, and tells the header when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.template_asked = asyncio.Event()
        self.header_told = asyncio.Event()
        self.error: Exception | None = None

    async def tip_facts(self, hash_le: bytes) -> TipFacts:
        """Waits for `header_told`."""
        self.asked.append("header")
        await self.header_told.wait()
        if self.error is not None:
            raise self.error
        return TipFacts(hash_le, 261, 0x20000000, 0, 0, 0x207FFFFF)

    async def fetch_template(self, reason: str) -> None:
        """Notes it."""
        self.asked.append(reason)
        self.template_asked.set()


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[tuple[Executor, Node]]:
    recorder = Recorder(tmp_path, "regtest", on_alarm=lambda *told: None)
    node = Node()
    nodes: Any = {"a": node}
    unused: Any = SimpleNamespace(publish=lambda job, clean: None, published=lambda job: None, snapshot=tuple)
    tasks: list[asyncio.Task[None]] = []
    spawn = lambda work: tasks.append(asyncio.create_task(work))  # noqa: E731
    yield Executor(coordinator(), unused, nodes, recorder, spawn, unused), node
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_template_waits_for_the_header(kit: tuple[Executor, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.daemon.executor.HEADER_FIRST_SECS", 60.0)
    executor, node = kit
    executor.do(NEWS)
    for _ in range(5):
        await asyncio.sleep(0)
    assert node.asked == ["header"]
    node.header_told.set()
    async with asyncio.timeout(5):
        await node.template_asked.wait()
    assert node.asked == ["header", "new tip"]


async def test_a_header_that_does_not_come_is_not_waited_for_long(kit: tuple[Executor, Node]) -> None:
    executor, node = kit
    executor.do(NEWS)
    assert HEADER_FIRST_SECS < 1
    async with asyncio.timeout(20):
        await node.template_asked.wait()


async def test_a_header_that_cannot_be_had_lets_the_template_go(kit: tuple[Executor, Node]) -> None:
    executor, node = kit
    node.error = NodeUnreachable("gone")
    node.header_told.set()
    executor.do(NEWS)
    async with asyncio.timeout(5):
        await node.template_asked.wait()


async def test_without_a_new_tip_nothing_waits(kit: tuple[Executor, Node]) -> None:
    executor, node = kit
    executor.do([RefreshTemplate("a", "age")])
    for _ in range(5):
        await asyncio.sleep(0)
    assert node.asked == ["age"]


@pytest.mark.parametrize("paused", [False, True])
async def test_a_pause_between_tip_and_work_is_no_latency(kit: tuple[Executor, Node], paused: bool) -> None:
    executor, _ = kit
    measured: list[str] = []
    recorder: Any = SimpleNamespace(
        latency=lambda at, what, secs: measured.append(what), job=lambda at, job: None, counters=lambda *told: None
    )
    executor._recorder = recorder
    at = real_clock()
    executor.post(NewTip(at, "a", tip(2), "zmq"))
    if paused:
        executor.post(PauseWanted(at, "outside the mining hours"))
        executor.post(ResumeWanted(at, "outside the mining hours"))
    executor.do([PublishJob(make_job())])
    assert measured == ([] if paused else ["tip_to_empty"])
