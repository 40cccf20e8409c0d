"""The search plan: every header candidate is tried exactly once by all workers together, in every order and deal; a
position leads to its candidate and back; what a plan says is what its hash covers.

Spaces are small (a few hundred candidates), so that they are walked completely.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.errors import PlanError
from solominer.plan.parse import USES, derive, parse_plan
from solominer.plan.plan import BITLOAD, Candidate, Families, Lanes, Palette, Position, SearchPlan, Strides

MASK = 0x1FFFE000
ORDERS = sorted(USES)


@st.composite
def small_plans(draw: st.DrawFn, order: str) -> tuple[SearchPlan, int, int]:
    """(plan, version mask, workers) of a random small space."""
    plan = SearchPlan(
        Families(
            deal=draw(st.sampled_from(["interleaved", "blocks"])),
            extranonce_bits=draw(st.integers(2, 4)),
        ),
        Lanes(chunk_nonces=draw(st.integers(1, 7))),
        Strides(order),
        Palette(
            draw(st.lists(st.integers(13, 28), unique=True, max_size=3).map(tuple)),
            draw(st.sampled_from(["counting", "gray", "reversed"])),
        ),
        nonce_space=draw(st.integers(1, 40)),
        bitload=draw(st.integers(0, 10**30)),
    )
    parameters: dict[str, Any] = {name: derive(name, plan.chunks, plan.bitload) for name in USES[order]}
    plan = replace(plan, strides=replace(plan.strides, **parameters))
    mask = draw(st.sampled_from([MASK, MASK & ~(1 << 13), 0x00006000, 0]))
    return plan, mask, draw(st.integers(1, 1 << plan.families.extranonce_bits))


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_each_candidate_is_visited_exactly_once(order: str, data: st.DataObject) -> None:
    plan, mask, workers = data.draw(small_plans(order))
    seen: Counter[Candidate] = Counter()
    versions, size = len(plan.palette_versions(mask)), plan.lanes.chunk_nonces
    for worker in range(workers):
        for place in product(range(plan.owned(worker, workers)), range(versions), range(plan.chunks), range(size)):
            with suppress(PlanError):  # past the last nonce
                seen[plan.candidate(Position(*place), mask, worker, workers)] += 1
    assert set(seen.values()) == {1}
    free = [bit for bit in plan.palette.bits if mask >> bit & 1]
    assert len(seen) == (1 << plan.families.extranonce_bits) * (1 << len(free)) * plan.nonce_space
    assert {c.nonce for c in seen} == set(range(plan.nonce_space))
    assert {c.extranonce for c in seen} == set(range(1 << plan.families.extranonce_bits))
    assert all(not c.version_bits & ~mask for c in seen)


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_position_leads_there_and_back(order: str, data: st.DataObject) -> None:
    plan, mask, workers = data.draw(small_plans(order))
    candidate = Candidate(
        data.draw(st.integers(0, (1 << plan.families.extranonce_bits) - 1)),
        data.draw(st.sampled_from(plan.palette_versions(mask))),
        data.draw(st.integers(0, plan.nonce_space - 1)),
    )
    position = plan.position(candidate, mask, workers)
    worker, _ = plan.owner(candidate.extranonce, workers)
    assert plan.candidate(position, mask, worker, workers) == candidate


@pytest.mark.parametrize("order", ORDERS)
def test_full_size_positions(order: str) -> None:
    plan = parse_plan({"strides": {"main": {"order": order}}})
    for nonce in (0, 1, 2**18 - 1, 2**18, 2083236893, 2**32 - 1):
        candidate = Candidate(0xDEADBEEF, 0x6000, nonce)
        position = plan.position(candidate, MASK, 6)
        worker, _ = plan.owner(candidate.extranonce, 6)
        assert plan.candidate(position, MASK, worker, 6) == candidate


def test_palette_orders() -> None:
    def patterns(order: str) -> list[int]:
        return [v >> 13 for v in SearchPlan(palette=Palette((13, 14), order)).palette_versions(MASK)]

    assert patterns("counting") == [0, 1, 2, 3]
    assert patterns("gray") == [0, 1, 3, 2]
    assert patterns("reversed") == [3, 2, 1, 0]
    assert SearchPlan().palette_versions(0) == (0,)
    assert SearchPlan(palette=Palette((14, 13))).palette_versions(MASK) == (0, 1 << 14, 1 << 13, 3 << 13)


def test_shuffled_differs_between_extranonces() -> None:
    plan = parse_plan("strides: {main: {order: shuffled, seed: 7}}")
    assert len({tuple(plan.order(x).at(i) for i in range(8)) for x in range(20)}) == 20
    assert plan.order(3).at(5) == plan.order(3).at(5)


def test_the_hash_covers_what_decides_a_position() -> None:
    base = SearchPlan()
    others = [
        replace(base, families=Families(deal="blocks")),
        replace(base, families=Families(extranonce_bits=31)),
        replace(base, lanes=Lanes(chunk_nonces=1 << 20)),
        replace(base, strides=Strides("van-der-corput")),
        replace(base, palette=Palette((13,))),
        replace(base, nonce_space=100),
    ]
    assert len({plan.hash_hex for plan in (base, *others)}) == 7
    same = replace(base, lanes=Lanes(lanes=16, midstates=4), mode="test", bitload=1, derived=("x",))
    assert same.hash_hex == base.hash_hex
    named_by_proofs = "da049d043035c41c302e518c17d5a16800f2493e60e3c96481d013a96dca957d"
    assert base.hash_hex == named_by_proofs


def test_the_example_is_the_default_plan() -> None:
    text = Path("plan.yaml.example").read_text()
    assert parse_plan(text) == parse_plan("") == SearchPlan()
    assert parse_plan(text).bitload == BITLOAD
    assert parse_plan(text, "demo").strides.order == "van-der-corput"
    test = parse_plan(text, "test")
    assert (test.mode, test.strides.order, test.lanes.chunk_nonces) == ("test", "shuffled", 65536)
    assert parse_plan(text, "staging").hash_hex == parse_plan(text).hash_hex


def test_the_kernel_decides_what_is_auto() -> None:
    assert SearchPlan().midstates_for(16, 4) == 4
    assert SearchPlan(lanes=Lanes(16, 2)).midstates_for(16, 4) == 2
    for lanes in (Lanes(8, 0), Lanes(16, 8)):
        with pytest.raises(PlanError, match="lanes: the kernel"):
            SearchPlan(lanes=lanes).midstates_for(16, 4)


@pytest.mark.parametrize(
    ("group", "position"),
    [
        ("palette", Position(0, 32, 0, 0)),
        ("palette", Position(0, -1, 0, 0)),
        ("strides", Position(0, 0, 1 << 14, 0)),
        ("strides", Position(0, 0, 0, 1 << 18)),
        ("strides", Position(0, 0, 0, -1)),
        ("families", Position(1 << 32, 0, 0, 0)),
        ("families", Position(-1, 0, 0, 0)),
    ],
)
def test_positions_that_do_not_exist(group: str, position: Position) -> None:
    with pytest.raises(PlanError) as error:
        SearchPlan().candidate(position, MASK, 0, 4)
    assert error.value.group == group


def test_an_offset_behind_the_last_nonce() -> None:
    plan = SearchPlan(lanes=Lanes(chunk_nonces=4), nonce_space=10)
    with pytest.raises(PlanError, match="past the last nonce"):
        plan.candidate(Position(0, 0, 2, 2), MASK, 0, 1)


def test_candidates_the_plan_never_tries() -> None:
    plan = SearchPlan()
    for group, candidate in [
        ("palette", Candidate(0, 1 << 28, 0)),
        ("strides", Candidate(0, 0, 1 << 32)),
        ("families", Candidate(1 << 32, 0, 0)),
    ]:
        with pytest.raises(PlanError) as error:
            plan.position(candidate, MASK, 1)
        assert error.value.group == group


def test_workers_that_own_nothing() -> None:
    plan = SearchPlan(Families(extranonce_bits=2))
    for worker, count in [(0, 5), (2, 2), (-1, 2)]:
        with pytest.raises(PlanError, match="families"):
            plan.extranonce(worker, count, 0)


def test_an_order_without_its_parameters() -> None:
    for strides in (Strides("knuth"), Strides("strided"), Strides("shuffled"), Strides("spiral")):
        with pytest.raises(PlanError, match="strides"):
            SearchPlan(strides=strides).order()


def test_describe_and_picture() -> None:
    plan = parse_plan("strides: {main: {order: knuth, increment: 1}}")
    rows = {(group, name): (value, origin) for group, name, value, origin in plan.describe()}
    assert rows["strides", "increment"] == ("1", "given")
    assert rows["strides", "multiplier"][1] == "derived"
    assert rows["lanes", "midstates"] == ("auto", "auto")
    assert rows["", "chunks"] == ("16384", "derived")
    points = plan.order_points(100)
    assert len(points) == 100
    assert points[50] == (8192, plan.order().at(8192))
    assert len(SearchPlan(lanes=Lanes(chunk_nonces=1 << 30)).order_points()) == 4


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_worker_owns_as_many_extranonces_as_it_gets(data: st.DataObject) -> None:
    plan, _, workers = data.draw(small_plans("sequential"))
    for worker in range(workers):
        owned = plan.owned(worker, workers)
        assert plan.extranonce(worker, workers, owned - 1) >= 0
        with pytest.raises(PlanError):
            plan.extranonce(worker, workers, owned)
