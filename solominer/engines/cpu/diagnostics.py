"""The hash diagnostics of a running pool: runs the tests of `insight.uniformity` over each worker's shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from solominer.insight.uniformity import Diagnostics, DuplicateFinder, Finding

LEAST_HASHES_PER_SHARE = 1 << 22
"""Easier share targets are not tested: a worker's hash count advances in slices of some milliseconds, which must be
short compared with the time between shares. On regtest nothing is tested."""


@dataclass(frozen=True, slots=True)
class WorkerFindings:
    """A worker's test results for one window; `hashes` is the worker's own count in it."""

    worker: int
    hashes: float
    findings: tuple[Finding, ...]


class PoolDiagnostics:
    """The tests of all workers, which together raise a false alarm in at most `alarm_rate` of all windows.

    `nonce_bits` is log2 of the chunk size in nonces, rounded down; `count_of` returns a worker's hashes so far.
    """

    def __init__(self, workers: int, nonce_bits: int, alarm_rate: float, count_of: Callable[[int], int]) -> None:
        self._workers = workers
        self._nonce_bits = nonce_bits
        self._alarm_rate = alarm_rate / max(workers, 1)
        self._count_of = count_of
        self._duplicates = DuplicateFinder()
        self._tests: list[Diagnostics] = []
        self._target: int | None = None
        self._counts = [0] * workers

    def retarget(self, share_target: int) -> None:
        """Shares meet this target from now on."""
        target = share_target if (1 << 256) // (share_target + 1) >= LEAST_HASHES_PER_SHARE else None
        if target == self._target:
            return
        if target is not None and not self._tests:
            self._tests = [Diagnostics(self._nonce_bits, self._alarm_rate) for _ in range(self._workers)]
        for worker, tests in enumerate(self._tests):
            tests.advance(self._count_of(worker), self._target)
        self._target = target

    def share(self, worker: int, nonce: int, hash_le: bytes, share_target: int) -> None:
        """A worker found a valid share."""
        if self._target is None or not 0 <= worker < self._workers:
            return
        repeated = self._duplicates.seen(hash_le, worker) is not None
        self._tests[worker].add(nonce, hash_le, share_target, self._count_of(worker), duplicate=repeated)

    def repeated(self, worker: int) -> None:
        """A worker submitted a share that had been submitted before."""
        if self._target is not None and 0 <= worker < self._workers:
            self._tests[worker].repeated()

    def close(self) -> Iterator[WorkerFindings]:
        """Close the window of one worker after another and yield its results; nothing if no share could be tested."""
        for worker, tests in enumerate(self._tests):
            count = self._count_of(worker)
            if self._target is None:
                tests.advance(count, None)
            hashes, self._counts[worker] = count - self._counts[worker], count
            yield WorkerFindings(worker, hashes, tuple(tests.close(count)))
