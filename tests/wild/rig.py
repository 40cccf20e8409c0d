"""The daemon's parts around a fake node: the real node client, executor, coordinator and records; no worker and no
clock of more than milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from solominer.chain.networks import REGTEST
from solominer.daemon.executor import Executor
from solominer.daemon.host_metrics import now
from solominer.node import backoff as outage
from solominer.node import client as client_module
from solominer.node.client import NodeClient, NodeSettings
from solominer.node.credentials import UserPassword
from solominer.records.recorder import Recorder
from solominer.work.blocks import TrackedBlock
from solominer.work.coordinator import Coordinator
from solominer.work.events import PauseWanted, ResumeWanted, Tick
from solominer.work.found import FoundBlock
from solominer.work.policy import Policy, RetryPolicy
from tests.wild.chain_node import ChainNode
from tests.work.builders import PAYOUT, solution

PATIENCE_SECS = 30.0


class Rig:
    """`failures` are the exceptions that would have ended the daemon."""

    def __init__(self, node: ChainNode, folder: Path, policy: Policy) -> None:
        self.node = node
        self.settings = NodeSettings(
            "a", "127.0.0.1", node.port, UserPassword("me", "x"), REGTEST,
            poll_secs=0.02, health_secs=0.05, timeout_secs=10,
        )  # fmt: skip
        self.node_client = NodeClient(self.settings, self._post, now)
        self.coordinator = Coordinator(REGTEST, ["a"], PAYOUT, b"/test/", policy, b"\1\2")
        recorder = Recorder(folder, "regtest", on_alarm=lambda *told: None)
        recorder.open(time.time())
        self.recorder = recorder
        pool: Any = SimpleNamespace(publish=lambda job, clean: None, stop_work=lambda: None, snapshot=lambda: ())
        observer: Any = SimpleNamespace(
            published=lambda job: None,
            share=lambda share: None,
            block=lambda *about: None,
            repeated=lambda worker: None,
        )
        self.failures: list[BaseException] = []
        self.sent: dict[bytes, FoundBlock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        nodes: Any = {"a": self.node_client}
        self.executor = Executor(self.coordinator, pool, nodes, recorder, self.spawn, observer)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """As the daemon's: a task that ends with an exception would end it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def until(self, holds: Any, what: str) -> None:
        """Wait until `holds()`."""
        end = time.monotonic() + PATIENCE_SECS
        while not holds():
            assert not self.failures, self.failures
            assert time.monotonic() < end, f"{what}; {self.coordinator.status}"
            await asyncio.sleep(0.001)

    async def mining(self) -> None:
        """Wait until a job on the node's tip is out."""

        def holds() -> bool:
            job = self.coordinator.job
            return self.coordinator.working and job is not None and job.template.prevhash_hex == self.node.tip_hex

        await self.until(holds, "no job on the node's tip")

    async def found(self) -> TrackedBlock:
        """Find a block in the job at hand, and wait until it has been sent once."""
        await self.mining()
        assert self.coordinator.job is not None
        share = solution(self.coordinator.job, at=now())
        before = set(self.coordinator.blocks.open)
        self.executor.post(share)
        await self.until(lambda: len(self.coordinator.blocks.open) > len(before), "the block is not followed")
        (hash_le,) = set(self.coordinator.blocks.open) - before
        tracked = self.coordinator.blocks.open[hash_le]
        self.sent[hash_le] = tracked.block
        return tracked

    def work_again(self) -> None:
        """Have a job made at once, also on a tip for which a block was found."""
        for event in (PauseWanted(now(), "test"), ResumeWanted(now(), "test")):
            self.executor.post(event)

    async def stop(self) -> None:
        """End everything."""
        await self.node_client.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.recorder.close(time.time())

    async def tick(self) -> None:
        """Time passes."""
        while True:
            self._post(Tick(now()))
            await asyncio.sleep(0.01)

    def _post(self, event: Any) -> None:
        self.executor.post(event)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failures.append(task.exception())  # type: ignore[arg-type]


@asynccontextmanager
async def running(node: ChainNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """The parts at work on a node."""
    for module, name, secs in (
        (outage, "FIRST_WAIT_SECS", 0.002),
        (outage, "LONGEST_WAIT_SECS", 0.02),
        (client_module, "_LOST_HEALTH_SECS", 0.01),
    ):
        monkeypatch.setattr(module, name, secs)
    retry = RetryPolicy(first_secs=0.01, most_secs=0.1, look_secs=0.05)
    rig = Rig(node, folder, Policy(refresh_secs=0.5, stale_secs=5.0, retry=retry))
    rig.spawn(rig.executor.run())
    rig.spawn(rig.node_client.run())
    rig.spawn(rig.tick())
    try:
        yield rig
    finally:
        await rig.stop()
