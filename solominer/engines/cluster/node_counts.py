"""What a node's workers and miners did since its lease, for its beats and its status line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from solominer.engines.cluster.messages import Beat, Lease, WorkerBeat, name_of
from solominer.work.workers import EngineSnapshot, WorkerId, WorkerSnapshot


class Counting(Protocol):
    """What a node's work is done by: a pool of workers, or a front end."""

    def snapshot(self) -> EngineSnapshot: ...


class NodeCounts:
    """Reads the counters of `engines`."""

    def __init__(self, engines: Sequence[Counting]) -> None:
        self._engines = engines
        self._before: dict[WorkerId, WorkerSnapshot] = {}

    @property
    def workers(self) -> list[WorkerSnapshot]:
        """All workers of the node."""
        return [worker for engine in self._engines for worker in engine.snapshot().workers]

    def begin(self) -> None:
        """A lease begins: what was done before it is not counted under it."""
        self._before = {seen.worker: seen for seen in self.workers}

    def beat(self, lease: Lease, incarnation: bytes) -> Beat:
        """The beat of now."""
        return Beat(lease.run, incarnation, lease.first, tuple(map(self._worker, self.workers)))

    def _worker(self, seen: WorkerSnapshot) -> WorkerBeat:
        before = self._before.get(seen.worker)
        return WorkerBeat(
            name=name_of(seen.worker),
            kernel=seen.kernel,
            state=seen.state,
            hashes=seen.hashes_counted - (before.hashes_counted if before else 0),
            rate_hps=seen.rate_hps,
            shares=seen.shares - (before.shares if before else 0),
            millidegrees=round(1000 * (seen.temperature_c or 0.0)),
            credited=seen.hashes_credited - (before.hashes_credited if before else 0.0),
        )
