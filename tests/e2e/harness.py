"""Runs the real daemon in this process against a real node, and lets a test steer what it mines.

Nothing is faked: `Run` wires itself as always. The harness only watches the jobs on their way to the workers, where
it puts each to the node in proposal mode, and can make them unsolvable so that the workers stay busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon.daemon import Run
from solominer.daemon.every_run import RunOptions
from solominer.daemon.executor import Executor
from solominer.daemon.host_metrics import now
from solominer.engines.pool.pool import WorkerPool
from solominer.node.private.node import PrivateNode
from solominer.records.events.event_log import event_files
from solominer.records.events.replay import ReplayOutcome, replay
from solominer.views.logs import RecentEvents
from solominer.work.coordinator import Coordinator
from solominer.work.events import PauseWanted, PolicyChanged, ResumeWanted
from solominer.work.job import Job
from solominer.work.ports import Engine

PAUSE = "the test"


def config_for(node: PrivateNode, data_dir: Path, **more: Any) -> Config:
    """The config.json of somebody who mines on this node."""
    values = {
        "mode": "regtest",
        "bitcoin_rpc": {"host": node.rpc_host, "port": node.rpc_port, "cookie_file": str(node.cookie_file)},
        "zmq": {"hashblock": node.zmq_hashblock, "sequence": node.zmq_sequence},
        "data_dir": str(data_dir),
        "nice": 0,
        **more,
    }
    return load_config(overrides=values, environ={})


def replay_same(root: Path) -> list[ReplayOutcome]:
    """Run every recorded run below the network's folder again: each decides as it did. Gives what came of each."""
    outcomes = [replay(list(files)) for _, files in groupby(event_files(root), key=lambda file: file.run)]
    assert outcomes
    for outcome in outcomes:
        assert outcome.difference is None
        assert outcome.ends == ""
    return outcomes


class RunningMiner:
    """The daemon as a task; use as an async context manager. `jobs` are all that went out to the workers."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        config: Config,
        *,
        node: PrivateNode | None = None,
        unsolvable: bool = False,
        more_engines: Sequence[Engine] = (),
    ) -> None:
        self.daemon = Run(config, RunOptions(), RecentEvents(), more_engines)
        self.jobs: list[Job] = []
        self.proposals: list[tuple[int, object]] = []
        self.pool: WorkerPool | None = None
        self._task: asyncio.Task[int] | None = None
        publish = WorkerPool.publish

        def publishing(pool: WorkerPool, job: Job, **options: Any) -> None:
            self.pool = pool
            self.jobs.append(job)
            if node is not None:
                header = job.header(job.extranonce(), job.space.version, job.space.ntime_min, 0).pack()
                proposal = {"mode": "proposal", "data": job.block_hex(header, job.extranonce())}
                self.proposals.append((job.template.height, node.call("getblocktemplate", proposal)))
            if unsolvable:
                job = replace(job, template=replace(job.template, target=0), share_target=0)
            publish(pool, job, **options)

        monkeypatch.setattr(WorkerPool, "publish", publishing)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.daemon.run())
        await self.until(lambda: self.daemon.executor is not None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.daemon.stop()
        assert self._task is not None
        code = await self._task
        assert code == 0 or error is not None
        if error is None:
            config = self.daemon.config
            replay_same(config.tree_dir)

    @property
    def executor(self) -> Executor:
        """The running executor."""
        assert self.daemon.executor is not None
        return self.daemon.executor

    @property
    def coordinator(self) -> Coordinator:
        """The running coordinator."""
        return self.executor.coordinator

    @property
    def accepted(self) -> int:
        """Blocks of ours that the node took."""
        return self.coordinator.blocks.accepted_count

    def allow(self, blocks: int) -> None:
        """Let it mine until that many blocks of this run are found, then wait."""
        self.executor.post(PolicyChanged(now(), replace(self.coordinator.policy, max_blocks=blocks)))
        self.executor.post(PauseWanted(now(), PAUSE))
        self.executor.post(ResumeWanted(now(), PAUSE))

    async def mine(self, blocks: int, timeout_secs: float = 60.0) -> None:
        """Let it mine that many blocks more, and wait until the node took them and is their tip."""
        wanted = self.accepted + blocks
        self.allow(wanted)
        await self.until(lambda: self.accepted >= wanted, timeout_secs)

    async def until(self, holds: Callable[[], object], timeout_secs: float = 30.0) -> float:
        """Wait until it holds; gives the seconds it took. Fails with the last log lines if the daemon ends or hangs."""
        started = time.monotonic()
        while not holds():
            assert self._task is not None
            if self._task.done():
                raise AssertionError(f"the daemon ended: {self._task.result()}")
            if time.monotonic() - started > timeout_secs:
                raise AssertionError(f"it did not come about in {timeout_secs:g} s: {self.coordinator.status}")
            await asyncio.sleep(0.002)
        return time.monotonic() - started

    def mines_on(self, hash_hex: str) -> bool:
        """Whether all workers are on a job whose parent is this block."""
        if not self.jobs or self.pool is None or self.jobs[-1].template.prevhash_hex != hash_hex:
            return False
        snapshot = self.pool.pool_snapshot()
        return self.coordinator.working and all(worker.epoch == snapshot.epoch for worker in snapshot.workers)
