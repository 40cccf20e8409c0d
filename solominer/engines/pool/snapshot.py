"""Snapshots of a pool and its workers."""

from __future__ import annotations

from dataclasses import dataclass

from solominer.engines.pool.job_slot import WorkerCounters, WorkerState
from solominer.work.workers import WorkerId, WorkerSnapshot

RATE_SECS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolWorkerSnapshot(WorkerCounters):
    """One worker's counters with what the pool knows; `pid` is 0 and `kernel` empty while no process runs.

    `rate_hps` is the average over the last RATE_SECS; `restarts` counts restarts of the process.
    """

    state: WorkerState
    index: int
    kernel: str
    rate_hps: float
    restarts: int

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.pid != 0


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The state of the pool; the current `epoch` began at `published_ns` (time.monotonic_ns())."""

    workers: tuple[PoolWorkerSnapshot, ...]
    epoch: int
    published_ns: int
    active: int

    @property
    def hashes(self) -> int:
        """Hashes of all workers since the start."""
        return sum(worker.hashes for worker in self.workers)


def worker_snapshot(worker: WorkerId, seen: PoolWorkerSnapshot) -> WorkerSnapshot:
    """The engine-independent form of a worker's snapshot."""
    return WorkerSnapshot(
        worker=worker,
        state=seen.state.name.lower() if seen.alive else "lost",
        hashes_counted=seen.hashes,
        rate_hps=seen.rate_hps,
        shares=seen.shares,
        kernel=seen.kernel,
        pid=seen.pid,
        temperature_c=seen.millidegrees / 1000 or None,
    )
