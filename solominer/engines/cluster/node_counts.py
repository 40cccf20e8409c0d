"""What a node's workers did since its lease, for its beats and its status line."""

from __future__ import annotations

from collections.abc import Sequence

from solominer.engines.cluster.messages import Beat, Lease, WorkerBeat
from solominer.engines.pool.pool import WorkerPool
from solominer.work.workers import WorkerId, WorkerSnapshot


class NodeCounts:
    """Reads the counters of `pools`."""

    def __init__(self, pools: Sequence[WorkerPool]) -> None:
        self._pools = pools
        self._before: dict[WorkerId, WorkerSnapshot] = {}

    @property
    def workers(self) -> list[WorkerSnapshot]:
        """All workers of the node."""
        return [worker for pool in self._pools for worker in pool.snapshot().workers]

    def begin(self) -> None:
        """A lease begins: what was done before it is not counted under it."""
        self._before = {seen.worker: seen for seen in self.workers}

    def beat(self, lease: Lease, incarnation: bytes) -> Beat:
        """The beat of now."""
        return Beat(lease.run, incarnation, lease.first, tuple(map(self._worker, self.workers)))

    def _worker(self, seen: WorkerSnapshot) -> WorkerBeat:
        before = self._before.get(seen.worker)
        return WorkerBeat(
            name=f"{seen.worker.engine}{seen.worker.name}",
            kernel=seen.kernel,
            state=seen.state,
            hashes=seen.hashes_counted - (before.hashes_counted if before else 0),
            rate_hps=seen.rate_hps,
            shares=seen.shares - (before.shares if before else 0),
            millidegrees=round(1000 * (seen.temperature_c or 0.0)),
        )
