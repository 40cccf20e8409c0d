"""The worker process: `python -m solominer.engines.cpu`, started by `worker_process` with a `WorkerSetup` on stdin.

It reads its job from shared memory and searches on its own. The kernel checks the word that counts changes after each
block of nonces, so a stale job ends within microseconds without a message. Otherwise standard input only wakes an idle
worker early, with a byte; its end means that the parent is gone.
"""

from __future__ import annotations

import importlib
import os
import select
import sys
import time
from typing import Any

from solominer.engines.cpu.job_slot import CHANGES, WORD_OF, SharedBlock, WorkerState, plan_word
from solominer.engines.cpu.messages import Outbox, Ready, Report
from solominer.engines.cpu.processes import die_with, leave_signals_to_parent
from solominer.engines.cpu.search import Midstate, Pace, ScanKernel, Search
from solominer.engines.cpu.startup import EXIT_WRONG_HITS, WorkerSetup
from solominer.engines.cpu.walk import Place, Walk
from solominer.engines.cpu.worker_job import WorkerJob
from solominer.errors import SolominerError

WRONG_HITS_ALLOWED = 3
_IDLE_LOOK_MS = 20
_LEADER_LOOK_SECS = 0.01

_PID, _STATE, _HEARTBEAT, _EPOCH, _LEFT, _STARTED, _JOBS, _WRONG = (
    WORD_OF[name] for name in ("pid", "state", "heartbeat_ns", "epoch", "left_ns", "started_ns", "jobs", "wrong_hits")
)
_PLAN, _MISCOUNTS = WORD_OF["plan"], WORD_OF["miscounts"]
_PLACE_EPOCH, _PLACE_MIDSTATES, _PLACE = (WORD_OF[name] for name in ("place_epoch", "place_midstates", "place_ntime"))


class Ended(Exception):
    """The worker should exit, or its parent is gone."""


class Worker:
    """The main loop of a worker process."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._shared = SharedBlock(setup.shared_fd, setup.workers)
        self._counters = self._shared.counters(setup.index)
        self._outbox = Outbox(setup.messages_fd)
        self._bell = select.poll()
        self._bell.register(0, select.POLLIN)
        self._search: Search | None = None
        self._epoch = 0
        self._counters[_PID] = os.getpid()
        self._counters[_PLAN] = plan_word(setup.plan.hash_hex)
        self._enter(WorkerState.STARTING)

    def run(self) -> int:
        """Load the kernel and hash until told to exit; returns the exit code."""
        try:
            engine = importlib.import_module(self._setup.engine)
            kernel = self._load(engine)
            if self._setup.nice:  # only now: startup should not wait for other processes
                os.nice(self._setup.nice)
            self._hash(kernel, engine.midstate)
            engine.bench_out(kernel.name, cache_dir=self._setup.cache_dir)
        except (Ended, BrokenPipeError):
            return 0
        return EXIT_WRONG_HITS

    def _load(self, engine: Any) -> ScanKernel:
        setup = self._setup
        name = setup.kernel if setup.leads else self._chosen_by_leader()
        kernel: ScanKernel = engine.load_kernel(
            name, cache_dir=setup.cache_dir, report=lambda line: self._outbox.send(Report(line))
        )
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
                    counters[_PLACE_MIDSTATES], counters[_PLACE_EPOCH] = midstates, self._epoch
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
        """Leave the old epoch; returns the job of the new one, None if there is none or it is being written."""
        counters = self._counters
        left, self._search = self._search, None
        epoch = self._shared.epoch
        data = self._shared.read_job(epoch) if epoch & 1 else None
        if epoch & 1 and data is None:
            return None
        self._epoch = epoch
        counters[_STARTED] = 0
        counters[_LEFT] = time.monotonic_ns()
        counters[_EPOCH] = epoch
        if left is not None and left.miscount:
            counters[_MISCOUNTS] += 1
        if data is None:
            return None
        counters[_JOBS] += 1
        return WorkerJob.unpack(data)

    def _walk(self, job: WorkerJob, midstates: int) -> Walk:
        """The job's walk, continued from the position of a worker that died."""
        counters, setup = self._counters, self._setup
        place = Place()
        if counters[_PLACE_EPOCH] == self._epoch:
            place = Place(*counters[_PLACE : _PLACE + len(Place._fields)])
            if counters[_PLACE_MIDSTATES] != midstates:  # the groups are different now
                place = Place(place.ntime, place.k + 1)
        return Walk(setup.plan, job.space, worker=setup.index, workers=setup.workers, midstates=midstates, place=place)

    def _enter(self, state: WorkerState) -> None:
        self._state = state
        self._counters[_STATE] = state
        self._counters[_HEARTBEAT] = time.monotonic_ns()

    def _wait(self, state: WorkerState) -> None:
        """Wait briefly to be woken, because there is nothing to do."""
        self._enter(state)
        if self._bell.poll(_IDLE_LOOK_MS) and not os.read(0, 4096):
            raise Ended

    def _check_end(self) -> None:
        if self._shared.quitting or os.getppid() != self._setup.parent_pid:
            raise Ended


def main() -> int:
    """Read the setup from standard input and run the worker; returns the exit code."""
    leave_signals_to_parent()
    try:
        setup = WorkerSetup.read(0)
        die_with(setup.parent_pid)
        return Worker(setup).run()
    except SolominerError as error:  # the last line on stderr becomes the `end_reason`
        sys.stderr.write(" -> ".join(filter(None, (error.what, error.todo))) + "\n")
        return 1
