"""Iteration over one worker's part of a job's header space; no hashing.

From the slowest to the fastest: ntime, extranonce2, version group, nonce chunk, nonce. The search plan deals the
extranonces and orders versions and chunks. A *group* is what shares a message schedule in one kernel call: one ntime
and one extranonce2 with up to `midstates` versions. Within a chunk nonces ascend, in slices of any length. A `Place`
records the position, so that a restarted worker continues there.
"""

from __future__ import annotations

from typing import NamedTuple

from solominer.errors import PlanError
from solominer.plan.plan import SearchPlan
from solominer.work.job import HeaderSpace


class Place(NamedTuple):
    """A position: seconds after ntime_min, the worker's k-th extranonce2, the version group, the step in the order of
    chunks, and the nonces of that chunk already done."""

    ntime: int = 0
    k: int = 0
    group: int = 0
    step: int = 0
    offset: int = 0


class Group(NamedTuple):
    """Headers that differ only in version and nonce; `versions` are complete nVersion fields."""

    ntime: int
    extranonce2: int
    versions: tuple[int, ...]


class Walk:
    """Iterates from `place` over what belongs to worker `worker` of `workers`, with `midstates` versions per group.

    `group` is the current one, a new object whenever it changes; `exhausted` is true when nothing is left. Raises
    PlanError if the plan has nothing for this worker, or its order is invalid.
    """

    def __init__(
        self,
        plan: SearchPlan,
        space: HeaderSpace,
        *,
        worker: int,
        workers: int,
        midstates: int,
        place: Place | None = None,
    ) -> None:
        self.exhausted = False
        self._nonces_start = 0
        self._plan = plan
        self._space = space
        self._worker = worker
        self._workers = workers
        self._midstates = midstates
        self._version_groups = plan.version_groups(space.version_mask, midstates)
        self._extranonce(0)
        self._enter_extranonce(place or Place())

    @property
    def place(self) -> Place:
        """The current position."""
        return self._chunk_place._replace(offset=self._nonce - self._nonces_start)

    def next_slice(self, most: int) -> tuple[int, int]:
        """(nonce_start, nonce_count): up to `most` nonces from here on, within one chunk. Invalid once exhausted."""
        nonce, left = self._nonce, self._nonces_end - self._nonce
        return nonce, most if most < left else left

    def advance(self, done: int) -> bool:
        """Move on by `done` hashed nonces of the slice. Returns whether the chunk is still the same."""
        self._nonce += done
        if self._nonce < self._nonces_end:
            return True
        ntime, k, group, step, _ = self._chunk_place
        if step + 1 < self._order.size:
            self._enter_chunk(Place(ntime, k, group, step + 1))
        elif group + 1 < len(self._version_groups):
            self._enter_group(Place(ntime, k, group + 1))
        else:
            self._enter_extranonce(Place(ntime, k + 1))
        return False

    def position(self, index: int) -> int:
        """The number of the current chunk under the group's version `index`, counted per version within this
        extranonce2, so it does not depend on the kernel's `midstates`."""
        return (self._chunk_place.group * self._midstates + index) * self._order.size + self._chunk_place.step

    def hashes_until(self, place: Place) -> int:
        """The hashes that the plan requires of this worker from the start of the job up to `place`."""
        plan, groups = self._plan, self._version_groups
        versions = sum(map(len, groups))
        owned = plan.owned(self._worker, self._workers)
        whole = (place.ntime * owned + place.k) * versions * plan.nonce_space
        if not (place.group or place.step or place.offset):
            return whole
        order, size = plan.order(self._extranonce(place.k)), plan.lanes.chunk_nonces
        nonces = place.step * size + place.offset
        if order.position_of(order.size - 1) < place.step:  # the last chunk is done, and it may be a short one
            nonces -= order.size * size - plan.nonce_space
        before = place.group * self._midstates
        return whole + before * plan.nonce_space + len(groups[place.group]) * nonces

    def _extranonce(self, k: int) -> int:
        return self._plan.extranonce(self._worker, self._workers, k)

    def _enter_extranonce(self, place: Place) -> None:
        try:
            self._extranonce2 = self._extranonce(place.k)
        except PlanError:  # the last one is used up
            place = Place(place.ntime + 1)
            self._extranonce2 = self._extranonce(0)
        if self._space.ntime_min + place.ntime > self._space.ntime_max:
            self.exhausted = True
            self._chunk_place, self._nonce = place, self._nonces_start
        else:
            self._order = self._plan.order(self._extranonce2)
            self._enter_group(place)

    def _enter_group(self, place: Place) -> None:
        versions = tuple(self._space.version_with(bits) for bits in self._version_groups[place.group])
        self.group = Group(self._space.ntime_min + place.ntime, self._extranonce2, versions)
        self._enter_chunk(place)

    def _enter_chunk(self, place: Place) -> None:
        size = self._plan.lanes.chunk_nonces
        self._chunk_place = place
        self._nonces_start = self._order.at(place.step) * size
        self._nonces_end = min(self._nonces_start + size, self._plan.nonce_space)
        self._nonce = self._nonces_start + place.offset
