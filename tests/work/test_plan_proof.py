"""The plan in a proof: whatever is changed in it does not fit the header any more, and what is malformed is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.chain.header import Header
from solominer.errors import VerifyError
from solominer.plan.parse import USES, parse_plan
from solominer.plan.plan import Candidate, Families, Lanes, Palette, Position, SearchPlan
from solominer.plan.proof import SearchClaim, check_section, plan_section, replay

MASK = 0x1FFFE000
WORKERS = 3
SMALL = SearchPlan(Families(extranonce_bits=4), Lanes(chunk_nonces=6), palette=Palette((13, 14)), nonce_space=32)
SCRIPT_SIG = b"\x03abc\x0c" + bytes(8)  # the extranonce's second half and a tag follow


def found_at(plan: SearchPlan, position: Position, worker: int) -> tuple[dict[str, Any], Header, bytes]:
    """The section, header and scriptSig of a hit at this position, through JSON as in a file."""
    candidate = plan.candidate(position, MASK, worker, WORKERS)
    extranonce2 = candidate.extranonce.to_bytes(4, "big")
    claim = SearchClaim.of(plan, candidate, MASK, WORKERS)
    section = plan_section(claim, MASK, bytes(8) + extranonce2, plan)
    header = Header(0x20000000 | candidate.version_bits, bytes(32), bytes(32), 1, 0x207FFFFF, candidate.nonce)
    return json.loads(json.dumps(section)), header, SCRIPT_SIG + extranonce2 + b"tag"


positions = st.builds(
    Position, st.integers(0, 1000), st.integers(0, 15), st.integers(0, (1 << 14) - 1), st.integers(0, (1 << 18) - 1)
)


@pytest.mark.parametrize("order", sorted(USES))
@settings(max_examples=40, deadline=None)
@given(
    position=positions, worker=st.integers(0, WORKERS - 1), place=st.sampled_from(["k", "version", "step", "offset"])
)
def test_only_the_true_position_holds(order: str, position: Position, worker: int, place: str) -> None:
    plan = parse_plan({"strides": {"main": {"order": order}}})
    section, header, script_sig = found_at(plan, position, worker)
    claim = check_section(section, header, script_sig)
    assert claim is not None
    assert (claim.position, claim.worker) == (position, worker)
    section["position"][place] ^= 1
    with pytest.raises(VerifyError):
        check_section(section, header, script_sig)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"worker": 1}, "position does not exist|the plan tries"),
        ({"worker_count": 4}, "the plan tries"),
        ({"engine": "gpu"}, "does not exist"),
        ({"plan_hash_hex": "00" * 32}, "names plan 0000"),
        ({"extranonce": 7}, "extranonce_hex of the search claim differ"),
        ({"extranonce_hex": "ff" * 12}, "coinbase does not contain"),
        ({"extranonce_hex": "zz"}, "extranonce_hex is not 4 to 12 bytes"),
        ({"extranonce_hex": None}, "extranonce_hex is not 4 to 12 bytes"),
        ({"version_mask": "ffffffff"}, "not inside the BIP 320 mask"),
        ({"version_mask": "0x1fffe0"}, "version_mask is not"),
        ({"facts": {}}, "search plan is invalid"),
        ({"facts": 5}, "search plan is invalid"),
        ({"position": {"k": 0}}, "incomplete"),
        ({"worker": "0"}, "not a count"),
    ],
)
def test_a_changed_claim_is_refused(change: dict[str, Any], said: str) -> None:
    section, header, script_sig = found_at(SearchPlan(), Position(5, 3, 77, 1234), 0)
    with pytest.raises(VerifyError, match=said):
        check_section({**section, **change}, header, script_sig)


def test_another_plan_in_the_proof_is_refused() -> None:
    section, header, script_sig = found_at(SearchPlan(), Position(0, 0, 5, 9), 0)
    other = parse_plan({"strides": {"main": {"order": "van-der-corput"}}})
    with pytest.raises(VerifyError, match="names plan"):
        check_section({**section, "facts": other.facts()}, header, script_sig)
    with pytest.raises(VerifyError, match="the plan tries"):
        check_section({**section, "facts": other.facts(), "plan_hash_hex": other.hash_hex}, header, script_sig)


def test_another_header_is_refused() -> None:
    section, header, script_sig = found_at(SearchPlan(), Position(0, 2, 5, 9), 0)
    for other in (replace(header, nonce=header.nonce + 1), replace(header, version=header.version ^ (1 << 13))):
        with pytest.raises(VerifyError, match="the plan tries"):
            check_section(section, other, script_sig)


def test_without_the_plan_nothing_is_claimed_to_hold() -> None:
    plan = SearchPlan()
    section, header, script_sig = found_at(plan, Position(0, 2, 5, 9), 1)
    del section["facts"]
    assert check_section(section, header, script_sig) is None
    assert check_section(section, header, script_sig, plan) is not None
    assert check_section(section, header, None, plan) is not None


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
    good = SearchClaim.of(SMALL, Candidate(5, 0, 9), MASK, 3).to_json()
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
