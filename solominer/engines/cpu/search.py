"""The search of one job by one worker: calls the kernel, verifies its hits, sends shares, counts hashes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from os import sched_yield
from time import monotonic_ns
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solominer.engines.pool.hits import TAIL_AT, HitReporter, heads_of
from solominer.engines.pool.job_slot import CHANGES, WORD_OF
from solominer.engines.pool.messages import Outbox
from solominer.engines.pool.walk import Group, Walk
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import EngineError

SLICE_NS = 4_000_000
"""Target duration of a slice; its overhead is some microseconds."""

_SLICES_A_RUN = 25
_HITS_MEANT = 64
_HITS_ROOM = 4096
_FIRST_GUESS_NS = 1000.0

_HEARTBEAT, _STARTED, _HASHES, _LONGEST, _WRONG = (
    WORD_OF[name] for name in ("heartbeat_ns", "started_ns", "hashes", "longest_slice_ns", "wrong_hits")
)
_PLACE = WORD_OF["place_ntime"]
_OFFSET = WORD_OF["place_offset"]

Midstate = Callable[[bytes], NDArray[np.uint32]]


class ScanKernel(Protocol):
    """The kernel interface that a search uses; documented in `kernel.Kernel`."""

    @property
    def name(self) -> str: ...

    @property
    def lanes(self) -> int: ...

    @property
    def midstates(self) -> int: ...

    def scan(
        self,
        midstates: NDArray[np.uint32],
        tail: NDArray[np.uint32],
        nonce_start: int,
        nonce_count: int,
        target_word: int,
        hits: NDArray[np.uint32],
        watched: NDArray[np.uint64],
        seen: int,
    ) -> tuple[int, int]: ...


class Pace:
    """The number of nonces per slice, from the measured speed."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._ns_per_hash = _FIRST_GUESS_NS
        self._measured = False

    def nonces(self, midstates: int, most_hashes: int) -> int:
        """Nonces for the next slice: whole vectors, at least one; otherwise at most `most_hashes` hashes."""
        hashes = min(SLICE_NS / self._ns_per_hash, most_hashes)
        return max(int(hashes) // midstates // self._lanes, 1) * self._lanes

    def saw(self, hashes: int, elapsed_ns: int) -> None:
        """Record a measurement; a slice that was interrupted for long counts at most twice the average."""
        measured = elapsed_ns / hashes
        if self._measured:
            self._ns_per_hash += (min(measured, 2 * self._ns_per_hash) - self._ns_per_hash) / 4
        else:
            self._ns_per_hash = measured
            self._measured = True


class Search:
    """One job's search.

    It stops when it has found a block (`parked`), when the walk is exhausted, and when the worker's count of wrong hits
    reaches `wrong_limit`.
    """

    def __init__(
        self,
        job: WorkerJob,
        walk: Walk,
        kernel: ScanKernel,
        midstate: Midstate,
        pace: Pace,
        counters: memoryview,
        outbox: Outbox,
        wrong_limit: int,
    ) -> None:
        self.job = job
        self.walk = walk
        self._kernel = kernel
        self._midstate = midstate
        self._pace = pace
        self._counters = counters
        self._reporter = HitReporter(job, counters, outbox)
        self._wrong_limit = wrong_limit
        self._target_word = self._reporter.target_word
        self._most_hashes = max(1, (_HITS_MEANT << 32) // (self._target_word + 1))
        self._hits = np.zeros((_HITS_ROOM, 2), np.uint32)
        self._group: Group | None = None
        self._heads: list[bytes] = []
        self._began = counters[_HASHES], walk.hashes_until(walk.place)
        self._note_place()

    @property
    def parked(self) -> bool:
        """Whether it found a block and waits for the next job."""
        return self._reporter.parked

    @property
    def over(self) -> bool:
        """Whether it has stopped."""
        return self.parked or self.walk.exhausted or self._counters[_WRONG] >= self._wrong_limit

    @property
    def miscount(self) -> int:
        """Hashes counted minus those that the plan requires up to the current place: 0 unless something is wrong."""
        counted, required = self._began
        return self._counters[_HASHES] - counted - (self.walk.hashes_until(self.walk.place) - required)

    def run(self, control: memoryview, changes: int) -> None:
        """Search for about a tenth of a second, or until a control word changes or the search is over.

        The kernel itself watches the word that counts the changes, so even a slice ends at once. The loop body runs
        once per slice, when the caches are full of the kernel's data, so it is kept short.
        """
        walk, counters, scan = self.walk, self._counters, self._kernel.scan
        if walk.group is not self._group:
            self._enter(walk.group)
        group, versions = walk.group, len(self._heads)
        most = self._pace.nonces(versions, self._most_hashes)
        before, first = counters[_HASHES], monotonic_ns()
        if not counters[_STARTED]:
            counters[_STARTED] = first
        now = first
        watched = np.frombuffer(control, np.uint64)[CHANGES : CHANGES + 1]
        for _ in range(_SLICES_A_RUN):
            start, count = walk.next_slice(most)
            found, done = scan(
                self._midstates, self._tail, start, count, self._target_word, self._hits, watched, changes
            )
            begun, now = now, monotonic_ns()
            if not done:
                raise EngineError(f"kernel {self._kernel.name} made no progress on {count} nonces")
            if found:
                self._reporter.take(group, self._heads, self._hits[:found].tolist(), self._position)
            counters[_HASHES] += done * versions
            counters[_HEARTBEAT] = now
            if now - begun > counters[_LONGEST]:
                counters[_LONGEST] = now - begun
            if walk.advance(done):
                counters[_OFFSET] += done
            else:
                self._note_place()
                if walk.exhausted or walk.group is not group:
                    break
            if control[CHANGES] != changes or (found and self.over):
                break
            sched_yield()  # another worker on this core may have a job to begin
        self._pace.saw(counters[_HASHES] - before, now - first)

    def _note_place(self) -> None:
        """Store the position, for a worker that continues after this one died."""
        for word, value in enumerate(self.walk.place, _PLACE):
            self._counters[word] = value

    def _enter(self, group: Group) -> None:
        """Prepare what all slices of a group share."""
        self._heads = heads_of(self.job, group)
        self._midstates = np.array([self._midstate(head[:TAIL_AT]) for head in self._heads], np.uint32)
        self._tail = np.array(struct.unpack(">3I", self._heads[0][TAIL_AT:]), np.uint32)
        self._group = group

    def _position(self, index: int, nonce: int) -> int:
        return self.walk.position(index)
