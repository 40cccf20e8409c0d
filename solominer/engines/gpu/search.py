"""The search of one job by a graphics card: the batches that it launches, how long they last, and their hits."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solominer.engines.cpu.reference import midstate
from solominer.engines.gpu.kernel import Batch, GpuKernel, TooManyHits
from solominer.engines.pool.hits import TAIL_AT, HitReporter, heads_of
from solominer.engines.pool.walk import Group, Place, Walk
from solominer.errors import EngineError

_FIRST_HASHES = 1 << 12
_MOST_GROWTH = 4.0
_WEIGHT = 0.25
_HITS_MEANT = 64


def most_hashes(target_word: int) -> int:
    """The hashes that have about 64 hits: a launch with many more overflows the kernel's buffer."""
    return max(1, (_HITS_MEANT << 32) // (target_word + 1))


@dataclass(frozen=True, slots=True)
class Piece:
    """What one launch searches; `after` is the place that follows, `positions` those of its chunks for version 0."""

    batch: Batch
    group: Group
    heads: list[bytes]
    after: Place
    positions: list[int]
    position_step: int

    @property
    def hashes(self) -> int:
        """How many headers it has."""
        return len(self.batch.midstates) * len(self.batch.chunks) * self.batch.chunk_nonces

    def position(self, index: int, nonce: int) -> int:
        """The position of a hit, as `Walk.position`; 0 for a nonce that it does not have."""
        offsets = nonce - self.batch.chunks.astype(np.int64)
        chunk = np.flatnonzero((offsets >= 0) & (offsets < self.batch.chunk_nonces))
        return self.positions[int(chunk[0])] + index * self.position_step if len(chunk) else 0


class GpuSearch:
    """One job's search, in whole groups of `kernel.group_nonces` nonces."""

    def __init__(self, walk: Walk, kernel: GpuKernel, reporter: HitReporter) -> None:
        self.reporter = reporter
        self.walk = walk
        self._kernel = kernel
        self._most = most_hashes(reporter.target_word)
        self._group: Group | None = None
        self._heads: list[bytes] = []
        self._midstates: NDArray[np.uint32] = np.zeros((0, 8), np.uint32)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to launch."""
        return self.reporter.parked or self.walk.exhausted

    def next_piece(self, hashes: int) -> Piece:
        """Take about `hashes` headers from the walk: part of a chunk, or several whole chunks of the same group."""
        walk = self.walk
        if walk.group is not self._group:
            self._enter(walk.group)
        group, granule = walk.group, self._kernel.group_nonces
        wanted = max(min(hashes, self._most) // len(self._heads) // granule, 1) * granule
        start, count = walk.next_slice(wanted)
        starts, positions, step = [start], [walk.position(0)], walk.position(1) - walk.position(0)
        at_start = not walk.place.offset
        whole = not walk.advance(count) and at_start
        while whole and not walk.exhausted and walk.group is group and (len(starts) + 1) * count <= wanted:
            following, size = walk.next_slice(count)
            if size < count:  # the last chunk of the nonces is a short one
                break
            starts.append(following)
            positions.append(walk.position(0))
            whole = not walk.advance(count)
        batch = Batch(self._midstates, self._tail, np.array(starts, np.uint32), count, self.reporter.target_word)
        return Piece(batch, group, self._heads, walk.place, positions, step)

    def take(self, piece: Piece, hits: NDArray[np.uint32]) -> None:
        """Report the hits of a piece. Of a midstate that it does not have, a hit is as wrong as of its first one."""
        hits = np.where(hits[:, :1] < len(piece.heads), hits, hits * np.array([0, 1], np.uint32))
        self.reporter.take(piece.group, piece.heads, hits.tolist(), piece.position)

    def _enter(self, group: Group) -> None:
        self._heads = heads_of(self.reporter.job, group)
        self._midstates = np.array([midstate(head[:TAIL_AT]) for head in self._heads], np.uint32)
        self._tail = np.array(struct.unpack(">3I", self._heads[0][TAIL_AT:]), np.uint32)
        self._group = group


def hits_in_parts(kernel: GpuKernel, batch: Batch) -> NDArray[np.uint32]:
    """All hits of a batch that has too many for one launch. Raises EngineError if a single group has too many."""
    found = []
    for first, part in _halves(kernel, batch):
        try:
            hits = kernel.launch(part).hits()
        except TooManyHits:
            hits = hits_in_parts(kernel, part)
        found.append(hits + np.array([first, 0], np.uint32))
    return np.concatenate(found)


def _halves(kernel: GpuKernel, batch: Batch) -> list[tuple[int, Batch]]:
    """Two batches that together are this one, each with the index of its first midstate in it."""
    if (chunks := len(batch.chunks)) > 1:
        return [(0, replace(batch, chunks=part)) for part in (batch.chunks[: chunks // 2], batch.chunks[chunks // 2 :])]
    if batch.chunk_nonces > kernel.group_nonces:
        first = max(batch.chunk_nonces // 2 // kernel.group_nonces, 1) * kernel.group_nonces
        second = batch.chunks + np.uint32(first)
        rest = batch.chunk_nonces - first
        return [(0, replace(batch, chunk_nonces=first)), (0, replace(batch, chunks=second, chunk_nonces=rest))]
    if (half := len(batch.midstates) // 2) > 0:
        lower, upper = batch.midstates[:half], batch.midstates[half:]
        return [(0, replace(batch, midstates=lower)), (half, replace(batch, midstates=upper))]
    raise EngineError(f"kernel {kernel.name} reports too many hits", "set gpu.kernel to another")


class LaunchPace:
    """The size of launches that last `launch_ms`, from the measured speed; it begins with small ones.

    `ns_per_hash` is the current estimate, infinite until the first measurement.
    """

    def __init__(self, launch_ms: float) -> None:
        self.target_ns = launch_ms * 1e6
        self.ns_per_hash = float("inf")
        self._hashes = float(_FIRST_HASHES)

    @property
    def hashes(self) -> int:
        """Hashes for the next launch."""
        return int(self._hashes)

    def expected_ns(self, hashes: int) -> float:
        """How long a launch of so many hashes probably takes."""
        return self.target_ns if self.ns_per_hash == float("inf") else self.ns_per_hash * hashes

    def saw(self, hashes: int, busy_ns: int) -> None:
        """A launch of `hashes` kept the device busy for `busy_ns`. One that the host disturbed counts at most twice."""
        measured = max(busy_ns, 1) / hashes
        if self.ns_per_hash == float("inf"):
            self.ns_per_hash = measured
        else:
            self.ns_per_hash += _WEIGHT * (min(measured, 2 * self.ns_per_hash) - self.ns_per_hash)
        self._hashes = max(1.0, min(self.target_ns / self.ns_per_hash, _MOST_GROWTH * self._hashes))


def rest_ns(busy_ns: float, duty: float) -> float:
    """How long a device that was busy for `busy_ns` rests so that it is busy for the fraction `duty` of the time."""
    return busy_ns * (1 / duty - 1)
