"""The dispatcher at its end: nothing that it has begun for a block is cut off, however soon after the hit it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from solominer.daemon.executor import Dispatcher
from solominer.records.recorder import Recorder
from solominer.work.events import Answer, SendBlock
from solominer.work.ports import SubmitReply
from tests.work.builders import feed, mining, of_type, solution


class SlowNode:
    """A link whose node takes a moment for a block."""

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
    dispatcher = Dispatcher(
        machine, unused, {"a": node}, recorder, lambda work: tasks.append(asyncio.create_task(work)), unused
    )
    tasks.append(asyncio.create_task(dispatcher.run()))
    dispatcher.do([send])
    await dispatcher.settle(5)
    assert node.took == [send.block.block_hex]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
