"""Post checks and replay: honest work passes, each kind of dishonest work is named with its group, and a proof whose
position, plan, worker or header was changed does not replay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from solominer.errors import PlanError, VerifyError
from solominer.plan.checks import SearchClaim, WorkDone, check_done, replay
from solominer.plan.parse import USES, parse_plan
from solominer.plan.plan import Candidate, Families, Lanes, Palette, Position, SearchPlan

MASK = 0x1FFFE000
WORKERS = 3
PLAN = SearchPlan(Families(extranonce_bits=4), Lanes(chunk_nonces=6), palette=Palette((13, 14)), nonce_space=32)


def honest() -> list[WorkDone]:
    """All that three workers owe of the small plan, in groups of three patterns, the last chunk being shorter."""
    work = []
    for worker in range(WORKERS):
        done: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        for call in PLAN.calls(worker, WORKERS, MASK, 3):
            done.setdefault((call.extranonce, call.version_bits), []).append(call.nonce_start // 6)
        work += [
            WorkDone(PLAN.hash_hex, "main", "cpu", worker, WORKERS, extranonce, bits, chunks, 32 * len(bits))
            for (extranonce, bits), chunks in done.items()
        ]
    return work


def test_honest_work_passes() -> None:
    check_done(PLAN, MASK, honest(), 16 * 4 * 32)
    stopped = replace(honest()[0], chunks=[0, 1], hashes=2 * 6 * 3)
    check_done(PLAN, MASK, [stopped], 36)


FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    ("sandbox", "worked in mode test", {"mode": "test"}),
    ("families", "follows another plan", {"plan_hash_hex": "00" * 32}),
    ("families", "of cpu worker 1", {"extranonce": 1}),
    ("palette", "outside of the palette", {"version_bits": (1 << 20,)}),
    ("strides", "visited a chunk twice", {"chunks": [0, 1, 1, 3, 4, 5]}),
    ("strides", "visited chunk 2 where 1 was owed", {"chunks": [0, 2], "hashes": 36}),
    ("strides", "where there are 6", {"chunks": [0, 1, 2, 3, 4, 5, 6]}),
    ("lanes", "for chunks that hold 96", {"hashes": 97}),
]


@pytest.mark.parametrize(("group", "reason", "change"), FAULTS)
def test_dishonest_work_is_named(group: str, reason: str, change: dict[str, Any]) -> None:
    work = honest()
    work[0] = replace(work[0], **change)
    with pytest.raises(PlanError) as error:
        check_done(PLAN, MASK, work)
    assert error.value.group == group
    assert reason in error.value.reason


def test_a_space_searched_twice_and_a_total_that_differs() -> None:
    work = honest()
    with pytest.raises(PlanError, match="a second time"):
        check_done(PLAN, MASK, [*work, work[3]])
    with pytest.raises(PlanError, match="lanes: 1 hashes are reported, the workers counted 2048"):
        check_done(PLAN, MASK, work, 1)


@pytest.mark.parametrize("order", sorted(USES))
def test_claims_replay_and_changed_ones_do_not(order: str) -> None:
    plan = parse_plan({"strides": {"main": {"order": order}}})
    candidate = Candidate(77, 0x4000, 3_000_000_019)
    claim = SearchClaim.of(plan, candidate, MASK, 4)
    assert SearchClaim.from_json(claim.to_json()) == claim
    replay(plan, claim, candidate.version_bits, candidate.nonce, MASK)
    p = claim.position
    changed = [
        replace(claim, position=Position(p.k + 1, p.version, p.step, p.offset)),
        replace(claim, position=Position(p.k, p.version + 1, p.step, p.offset)),
        replace(claim, position=Position(p.k, p.version, p.step ^ 1, p.offset)),
        replace(claim, position=Position(p.k, p.version, p.step, p.offset + 1)),
        replace(claim, position=Position(p.k, p.version, 1 << 40, p.offset)),
        replace(claim, worker=claim.worker - 1),
        replace(claim, worker_count=5),
        replace(claim, extranonce=78),
        replace(claim, plan_hash_hex="ab" * 32),
        replace(claim, engine="gpu"),
    ]
    for wrong in changed:
        with pytest.raises(VerifyError):
            replay(plan, wrong, candidate.version_bits, candidate.nonce, MASK)
    with pytest.raises(VerifyError, match="the proof has 77"):
        replay(plan, claim, candidate.version_bits, candidate.nonce + 1, MASK)


def test_claims_that_are_none() -> None:
    good = SearchClaim.of(PLAN, Candidate(5, 0, 9), MASK, 3).to_json()
    for bad in (
        {},
        {**good, "position": None},
        {**good, "position": {**good["position"], "k": "0"}},
        {**good, "position": {**good["position"], "step": True}},
        {**good, "worker": -1},
        {key: value for key, value in good.items() if key != "engine"},
    ):
        with pytest.raises(VerifyError, match="search claim"):
            SearchClaim.from_json(bad)
