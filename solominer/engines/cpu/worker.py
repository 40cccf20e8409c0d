"""The CPU engine's worker process: `python -m solominer.engines.cpu`.

The kernel checks the word that counts changes after each block of nonces, so a stale job ends within microseconds
without a message.
"""

from __future__ import annotations

import importlib
import os
import time
from typing import Any

from solominer.engines.cpu.search import Midstate, Pace, ScanKernel, Search
from solominer.engines.cpu.turns import ask_for_short_turns
from solominer.engines.pool.job_slot import CHANGES, WORD_OF, WorkerState
from solominer.engines.pool.messages import Ready
from solominer.engines.pool.startup import EXIT_WRONG_HITS, WorkerSetup
from solominer.engines.pool.worker import WRONG_HITS_ALLOWED, Worker
from solominer.engines.pool.worker_job import WorkerJob

_LEADER_LOOK_SECS = 0.01

_HEARTBEAT, _WRONG, _MISCOUNTS = (WORD_OF[name] for name in ("heartbeat_ns", "wrong_hits", "miscounts"))


class CpuWorker(Worker):
    """The main loop of a worker process."""

    def __init__(self, setup: WorkerSetup) -> None:
        super().__init__(setup)
        self._search: Search | None = None

    def work(self) -> int:
        """Search until told to exit, or until the kernel has reported too many wrong hits."""
        engine = importlib.import_module(self._setup.engine)
        kernel = self._load(engine)
        if self._setup.nice:  # only now: startup should not wait for other processes
            os.nice(self._setup.nice)
        ask_for_short_turns()
        self._hash(kernel, engine.midstate)
        engine.bench_out(kernel.name, cache_dir=self._setup.cache_dir)
        return EXIT_WRONG_HITS

    def _load(self, engine: Any) -> ScanKernel:
        setup = self._setup
        name = setup.kernel if setup.leads else self._chosen_by_leader()
        kernel: ScanKernel = engine.load_kernel(name, cache_dir=setup.cache_dir, report=self._report)
        if setup.leads:
            self._shared.kernel = kernel.name
        self._outbox.send(Ready(kernel.name))
        return kernel

    def _chosen_by_leader(self) -> str:
        while not self._shared.kernel:
            self._check_end()
            self._counters[_HEARTBEAT] = time.monotonic_ns()
            time.sleep(_LEADER_LOOK_SECS)
        return self._shared.kernel

    def _hash(self, kernel: ScanKernel, midstate: Midstate) -> None:
        """Search job after job. Returns when the kernel has reported too many wrong hits."""
        shared, counters, index = self._shared, self._counters, self._setup.index
        midstates = self._setup.plan.midstates_for(kernel.lanes, kernel.midstates)
        pace = Pace(kernel.lanes)
        wrong_limit = counters[_WRONG] + WRONG_HITS_ALLOWED
        while counters[_WRONG] < wrong_limit:
            changes = shared.control[CHANGES]
            self._check_end()
            search = self._search
            if shared.epoch != self._epoch:
                job = self._turn()
                if job is not None:
                    walk = self._walk(job, midstates)
                    self._search = Search(job, walk, kernel, midstate, pace, counters, self._outbox, wrong_limit)
                    self._begin_places(midstates)
            elif search is None:
                self._wait(WorkerState.IDLE)
            elif search.over:
                self._wait(WorkerState.PARKED if search.parked else WorkerState.EXHAUSTED)
            elif index >= shared.active:
                self._wait(WorkerState.PAUSED)
            else:
                self._enter(WorkerState.HASHING)
                search.run(shared.control, changes)

    def _turn(self) -> WorkerJob | None:
        left, self._search = self._search, None
        job = super()._turn()
        if left is not None and left.miscount:
            self._counters[_MISCOUNTS] += 1
        return job
