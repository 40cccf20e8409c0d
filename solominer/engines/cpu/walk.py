"""How one worker walks its part of a job's header space: numbers only, no hashing.

From the slowest to the fastest: ntime, extranonce2, version group, nonce chunk, nonce. The search plan deals the
extranonces, rolls the versions and orders the chunks; here they are walked one after another. A *group* is what one
kernel call can share a message schedule for: one ntime and one extranonce2 with up to `midstates` versions. Within a
chunk nonces are walked upwards, in slices as long as the worker likes. Every place has a number, so that a walk can be
taken up again where it was left.
"""

from __future__ import annotations

from typing import NamedTuple

from solominer.errors import PlanError
from solominer.plan.plan import SearchPlan
from solominer.work.space import HeaderSpace


class Place(NamedTuple):
    """Where a walk stands: seconds behind ntime_min, the worker's k-th extranonce2, the version group, the step in the
    order of chunks, and the nonces done of that chunk."""

    ntime: int = 0
    k: int = 0
    group: int = 0
    step: int = 0
    offset: int = 0


class Group(NamedTuple):
    """Headers that differ in version and nonce alone; `versions` are whole nVersion fields."""

    ntime: int
    extranonce2: int
    versions: tuple[int, ...]


class Walk:
    """The walk of worker `worker` of `workers` from `place` on; `midstates` is how many versions make a group.

    `group` is the one being walked; a new object whenever it changes. `exhausted` says that nothing is left. Raises
    PlanError where the plan has nothing for this worker or this order.
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
        """Where it stands."""
        return self._chunk_place._replace(offset=self._nonce - self._nonces_start)

    def next_slice(self, most: int) -> tuple[int, int]:
        """(nonce_start, nonce_count): up to `most` nonces from here on, all of one chunk. Not when exhausted."""
        nonce, left = self._nonce, self._nonces_end - self._nonce
        return nonce, most if most < left else left

    def advance(self, done: int) -> bool:
        """`done` nonces of the slice have been hashed; the walk stands behind them. Says if that is the same chunk."""
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
        """The plan's count of chunks of this extranonce2 before the current one of the group's version `index`.

        Versions are counted one by one, so the number is the same for every kernel.
        """
        return (self._chunk_place.group * self._midstates + index) * self._order.size + self._chunk_place.step

    def hashes_until(self, place: Place) -> int:
        """What the plan owes up to a place: hashes of this worker from the very beginning of the job's walk."""
        plan, groups = self._plan, self._version_groups
        versions = sum(map(len, groups))
        owned = plan.owned(self._worker, self._workers)
        whole = (place.ntime * owned + place.k) * versions * plan.nonce_space
        if not (place.group or place.step or place.offset):
            return whole
        order, size = plan.order(self._extranonce(place.k)), plan.lanes.chunk_nonces
        nonces = place.step * size + place.offset
        if order.position_of(order.size - 1) < place.step:  # the last chunk is behind us, and may be a short one
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
