"""What the CPU pool and its workers are doing at a moment."""

from __future__ import annotations

from dataclasses import dataclass

from solominer.engines.cpu.job_slot import WorkerState
from solominer.plan.plan import ENGINE
from solominer.work.workers import WorkerId, WorkerSnapshot

RATE_SECS = 10.0


@dataclass(frozen=True, slots=True)
class CpuWorkerSnapshot:
    """One worker at a moment. `pid` is None and `kernel` empty while it is not there.

    Totals (`hashes`, `shares`, `shares_suppressed`, `wrong_hits`, `restarts`) only grow, over restarts too.
    `rate_hps` is over the last RATE_SECS. `left_ns` and `started_ns` are time.monotonic_ns() of when the worker
    dropped the job before `epoch` and of the first slice of its own job (0: not yet).
    """

    index: int
    pid: int | None
    state: WorkerState
    kernel: str
    hashes: int
    rate_hps: float
    rss_bytes: int
    epoch: int
    left_ns: int
    started_ns: int
    longest_slice_ns: int
    shares: int
    shares_suppressed: int
    wrong_hits: int
    restarts: int
    plan: int
    miscounts: int

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.pid is not None


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The pool at a moment; `epoch` is the current one and `published_ns` when it began (time.monotonic_ns())."""

    workers: tuple[CpuWorkerSnapshot, ...]
    epoch: int
    published_ns: int
    active: int

    @property
    def hashes(self) -> int:
        """Hashes of all workers since the start."""
        return sum(worker.hashes for worker in self.workers)

    @property
    def rate_hps(self) -> float:
        """Hashes a second of all workers."""
        return sum(worker.rate_hps for worker in self.workers)

    @property
    def alive(self) -> int:
        """How many processes run."""
        return sum(worker.alive for worker in self.workers)


def worker_snapshot(seen: CpuWorkerSnapshot) -> WorkerSnapshot:
    """One worker as every engine says it."""
    return WorkerSnapshot(
        worker=worker_id(seen.index),
        state=seen.state.name.lower() if seen.alive else "lost",
        hashes_counted=seen.hashes,
        rate_hps=seen.rate_hps,
        shares=seen.shares,
        details={"kernel": seen.kernel, "pid": seen.pid or 0, "rss_bytes": seen.rss_bytes, "restarts": seen.restarts},
    )


def worker_id(index: int) -> WorkerId:
    """The id of the pool's worker of that number."""
    return WorkerId(ENGINE, str(index))
