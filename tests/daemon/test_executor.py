"""The executor at its end: nothing that it has begun for a block is cut off, however soon after the hit it ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from solominer.daemon.executor import Executor
from solominer.engines.engine_set import EngineSet
from solominer.records.recorder import Recorder
from solominer.work.actions import SendBlock
from solominer.work.events import Answer
from solominer.work.ports import SubmitReply
from solominer.work.workers import ExtranonceDealer
from tests.fakes import FakeEngine
from tests.work.builders import T0, WALL, feed, mining, of_type, solution


class SlowNode:
    """A node that takes a moment for a block."""

    def __init__(self) -> None:
        self.took: list[str] = []

    async def submit(self, block_hex: str) -> SubmitReply:
        """Takes it two turns of the loop later."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.took.append(block_hex)
        return SubmitReply(Answer.ACCEPTED, "null", 0.0)


async def test_what_was_begun_this_moment_is_waited_for(tmp_path: Path) -> None:
    machine, job = mining()
    (send,) = of_type(SendBlock, feed(machine, solution(job)))
    recorder = Recorder(tmp_path, "regtest", on_alarm=lambda *told: None)
    node: Any = SlowNode()
    unused: Any = SimpleNamespace()
    tasks: list[asyncio.Task[None]] = []
    executor = Executor(
        machine, unused, {"a": node}, recorder, lambda work: tasks.append(asyncio.create_task(work)), unused
    )
    tasks.append(asyncio.create_task(executor.run()))
    executor.do([send])
    await executor.settle(5)
    assert node.took == [send.block.block_hex]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_dropped_shares_are_counted_in_the_records_and_blocks_never_dropped(tmp_path: Path) -> None:
    machine, job = mining()
    recorder = Recorder(tmp_path, "regtest", on_alarm=lambda *told: None)
    recorder.open(WALL)
    engine = FakeEngine()
    engines = EngineSet([engine], ExtranonceDealer(0))
    executor = Executor(machine, engines, {}, recorder, lambda work: work.close(), None, lambda: T0)
    executor.queue._most_shares = 4  # half of it for one engine
    await engines.start(executor.post)
    for _ in range(5):
        engine.find(job=job, block=False)
    engine.find(job=job, block=True)
    assert (len(executor.queue), executor.queue.dropped) == (4, 3)  # a worker that started, two shares, a block
    executor.count_hashes()
    executor.count_hashes()
    recorder.close(WALL + 1)
    (ledger,) = tmp_path.glob("regtest/ledger/*/*/*/*/ledger.jsonl")
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [line["shares"] for line in lines if line["kind"] == "shares_dropped"] == [3]
    (report,) = tmp_path.glob("regtest/reports/*/*/*/*/report.json")
    assert json.loads(report.read_text())["shares"]["dropped"] == 3
