"""What a worker process does in any engine: it reads its job from shared memory, waits, and ends with its parent.

It is started by `worker_process` with a `WorkerSetup` on stdin. Standard input then only wakes an idle worker early,
with a byte; its end means that the parent is gone.
"""

from __future__ import annotations

import os
import select
import sys
import time
from abc import ABC, abstractmethod

from solominer.engines.pool.job_slot import WORD_OF, SharedBlock, WorkerState, plan_word
from solominer.engines.pool.messages import Outbox, Report
from solominer.engines.pool.processes import die_with, leave_signals_to_parent
from solominer.engines.pool.startup import EXIT_OFF, WorkerSetup
from solominer.engines.pool.walk import Place, Walk
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import DeviceOff, SolominerError

WRONG_HITS_ALLOWED = 3
_IDLE_LOOK_MS = 20

_PID, _STATE, _HEARTBEAT, _EPOCH, _LEFT, _STARTED, _JOBS, _PLAN = (
    WORD_OF[name] for name in ("pid", "state", "heartbeat_ns", "epoch", "left_ns", "started_ns", "jobs", "plan")
)
_PLACE_EPOCH, _PLACE_MIDSTATES, _PLACE = (WORD_OF[name] for name in ("place_epoch", "place_midstates", "place_ntime"))


class Ended(Exception):
    """The worker should exit, or its parent is gone."""


class Worker(ABC):
    """A worker process; an engine's own provides `work`."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._shared = SharedBlock(setup.shared_fd, setup.workers)
        self._counters = self._shared.counters(setup.index)
        self._outbox = Outbox(setup.messages_fd)
        self._bell = select.poll()
        self._bell.register(0, select.POLLIN)
        self._epoch = 0
        self._counters[_PID] = os.getpid()
        self._counters[_PLAN] = plan_word(setup.plan.hash_hex)
        self._enter(WorkerState.STARTING)

    @abstractmethod
    def work(self) -> int:
        """Load the kernel and hash; returns the exit code when it cannot go on. May raise Ended."""

    def run(self) -> int:
        """Work until told to exit; returns the exit code."""
        try:
            return self.work()
        except (Ended, BrokenPipeError):
            return 0

    def _report(self, line: str) -> None:
        self._outbox.send(Report(line))

    def _turn(self) -> WorkerJob | None:
        """Leave the old epoch; returns the job of the new one, None if there is none or it is being written."""
        counters = self._counters
        epoch = self._shared.epoch
        data = self._shared.read_job(epoch) if epoch & 1 else None
        if epoch & 1 and data is None:
            return None
        self._epoch = epoch
        counters[_STARTED] = 0
        counters[_LEFT] = time.monotonic_ns()
        counters[_EPOCH] = epoch
        if data is None:
            return None
        counters[_JOBS] += 1
        return WorkerJob.unpack(data)

    def _walk(self, job: WorkerJob, midstates: int, granule: int = 1) -> Walk:
        """The job's walk, continued from the position of a worker that died, at a multiple of `granule` nonces."""
        counters, setup = self._counters, self._setup
        place = Place()
        if counters[_PLACE_EPOCH] == self._epoch:
            place = Place(*counters[_PLACE : _PLACE + len(Place._fields)])
            if counters[_PLACE_MIDSTATES] != midstates:  # the groups are different now
                place = Place(place.ntime, place.k + 1)
            place = place._replace(offset=place.offset // granule * granule)
        return Walk(setup.plan, job.space, worker=setup.index, workers=setup.workers, midstates=midstates, place=place)

    def _begin_places(self, midstates: int) -> None:
        """The places noted from now on belong to this epoch, in groups of `midstates`."""
        self._counters[_PLACE_MIDSTATES], self._counters[_PLACE_EPOCH] = midstates, self._epoch

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


def main(worker: type[Worker]) -> int:
    """Read the setup from standard input and run the worker; returns the exit code."""
    leave_signals_to_parent()
    try:
        setup = WorkerSetup.read(0)
        die_with(setup.parent_pid)
        return worker(setup).run()
    except SolominerError as error:  # the last line on stderr becomes the `end_reason`
        sys.stderr.write(" -> ".join(filter(None, (error.what, error.todo))) + "\n")
        return EXIT_OFF if isinstance(error, DeviceOff) else 1
