"""The walk: all workers together meet every header of small random spaces exactly once, and a walk can be taken up
again anywhere. Property tests over plans, orders, masks, worker counts and slice lengths."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.engines.pool.walk import Walk
from solominer.errors import PlanError
from solominer.plan.plan import Families, Lanes, Palette, SearchPlan, Strides
from solominer.work.job import HeaderSpace

Point = tuple[int, int, int, int]
NONCES = st.integers(1, 40)


@st.composite
def plans(draw: st.DrawFn) -> SearchPlan:
    """A small plan; the orders that need no parameters that depend on the size."""
    nonces = draw(NONCES)
    order = draw(st.sampled_from(["sequential", "van-der-corput", "shuffled"]))
    return SearchPlan(
        Families(deal=draw(st.sampled_from(["interleaved", "blocks"])), extranonce_bits=draw(st.integers(2, 3))),
        Lanes(chunk_nonces=draw(st.integers(1, nonces))),
        Strides(order, seed=draw(st.integers(0, 99)) if order == "shuffled" else None),
        Palette(draw(st.sampled_from([(), (13,), (14, 13), (13, 20, 28)]))),
        nonce_space=nonces,
    )


spaces = st.builds(
    lambda mask, seconds: HeaderSpace(0x20000000, mask, 1000, 1000 + seconds),
    st.sampled_from([0, 1 << 13, 0x6000, 0x1FFFE000]),
    st.integers(0, 2),
)


def walked(walk: Walk, most: int, limit: int | None = None) -> list[Point]:
    """The (ntime, extranonce2, version, nonce) points in the order walked; `limit` slices at most."""
    points: list[Point] = []
    while not walk.exhausted and limit != 0:
        start, count = walk.next_slice(most)
        ntime, extranonce2, versions = walk.group
        points += [(ntime, extranonce2, v, n) for n in range(start, start + count) for v in versions]
        walk.advance(count)
        limit = None if limit is None else limit - 1
    return points


@settings(max_examples=200, deadline=None)
@given(plans(), spaces, st.integers(1, 4), st.integers(1, 5), st.integers(1, 50))
def test_all_workers_together_cover_the_space_once(
    plan: SearchPlan, space: HeaderSpace, workers: int, midstates: int, most: int
) -> None:
    seen: Counter[Point] = Counter()
    for worker in range(workers):
        walk = Walk(plan, space, worker=worker, workers=workers, midstates=midstates)
        seen.update(walked(walk, most))
    versions = [space.version_with(bits) for bits in plan.palette_versions(space.version_mask)]
    owed = product(
        range(space.ntime_min, space.ntime_max + 1),
        range(1 << plan.families.extranonce_bits),
        versions,
        range(plan.nonce_space),
    )
    assert seen == Counter(owed)


@settings(max_examples=100, deadline=None)
@given(plans(), spaces, st.integers(1, 5), st.integers(1, 50), st.integers(0, 200))
def test_a_walk_goes_on_from_its_place(
    plan: SearchPlan, space: HeaderSpace, midstates: int, most: int, stop_after: int
) -> None:
    def walk(place: object = None) -> Walk:
        return Walk(plan, space, worker=1, workers=3, midstates=midstates, place=place)  # type: ignore[arg-type]

    first = walk()
    before = walked(first, most, stop_after)
    assert first.hashes_until(first.place) == len(before), "what the plan owes is what was walked"
    assert before + walked(walk(first.place), most) == walked(walk(), most)


@settings(max_examples=100, deadline=None)
@given(plans(), st.integers(1, 5), st.integers(1, 4))
def test_positions_are_the_plans_own(plan: SearchPlan, midstates: int, workers: int) -> None:
    space = HeaderSpace(0x20000000, 0x1FFFE000, 1000, 1000)
    versions = plan.palette_versions(space.version_mask)
    walk = Walk(plan, space, worker=0, workers=workers, midstates=midstates)
    while not walk.exhausted:
        start, count = walk.next_slice(1 << 32)
        chunk = start // plan.lanes.chunk_nonces
        step = plan.order(walk.group.extranonce2).position_of(chunk)
        for index, version in enumerate(walk.group.versions):
            before = versions.index(version & space.version_mask) * plan.chunks
            assert walk.position(index) == before + step
        walk.advance(count)


def test_a_slice_stops_at_its_chunk_and_at_the_last_nonce() -> None:
    space = HeaderSpace(0x20000000, 0, 0, 0)
    walk = Walk(SearchPlan(), space, worker=0, workers=1, midstates=8)
    assert walk.next_slice(1 << 40) == (0, 1 << 18)
    walk.advance(1 << 18)
    assert walk.next_slice(1000) == (1 << 18, 1000)
    last = Walk(SearchPlan(), space, worker=0, workers=1, midstates=8, place=walk.place._replace(step=(1 << 14) - 1))
    assert last.next_slice(1 << 40) == ((1 << 32) - (1 << 18), 1 << 18)


def test_a_worker_that_the_plan_leaves_without_extranonces_is_refused() -> None:
    with pytest.raises(PlanError, match="families"):
        Walk(SearchPlan(Families(extranonce_bits=1)), HeaderSpace(0, 0, 0, 0), worker=2, workers=3, midstates=1)
