"""Both verifiers walk a proof's plan again: what was found there holds, whatever place is changed in it does not.

The blocks are made here: a solved header at a drawn position of each order's walk, on an easy target.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.header import meets_target
from solominer.chain.networks import REGTEST
from solominer.chain.proof import make_proof
from solominer.errors import PlanError, VerifyError
from solominer.plan.parse import USES, parse_plan
from solominer.plan.plan import Position, SearchPlan
from solominer.plan.proof import SearchClaim, plan_section, replay_proof
from solominer.records.evidence.verify import verify
from solominer.work.job import build_job
from solominer.work.payout import Payout
from solominer.work.template import BIP320_MASK, empty_template
from tests.records.standalone import standalone

WORKERS = 3


def plan_of(order: str, seed: int = 1) -> SearchPlan:
    """A plan of this order that leaves no default untouched."""
    return parse_plan(
        {
            "bitload": seed,
            "families": {"main": {"deal": ("blocks", "interleaved")[seed % 2]}},
            "lanes": {"main": {"chunk_nonces": 60_000 + seed}},
            "strides": {"main": {"order": order}},
            "palette": {"main": {"bits": [28, 13, 20], "order": ("gray", "counting", "reversed")[seed % 3]}},
        }
    )


def block_proof(plan: SearchPlan, rng: random.Random) -> dict[str, Any]:
    """The proof of a block that was found somewhere along the plan."""
    template = empty_template(
        REGTEST,
        height=200,
        prevhash_le=bytes(32),
        version=0x20000000,
        version_mask=BIP320_MASK,
        nbits=0x207FFFFF,
        curtime=1_700_000_000,
        mintime=1_600_000_000,
    )
    job = build_job(template, Payout(b"\x00\x14" + bytes(20)), job_id=1, salt=rng.randbytes(4), tag=b"/t/")
    while True:
        k, version, step = rng.randrange(1000), rng.randrange(8), rng.randrange(plan.chunks - 1)
        place = Position(k, version, step, rng.randrange(plan.lanes.chunk_nonces // 2))
        try:
            candidate = plan.candidate(place, BIP320_MASK, rng.randrange(WORKERS), WORKERS)
        except PlanError:  # behind the last nonce
            continue
        extranonce = job.extranonce(searched=candidate.extranonce)
        version_field = job.space.version_with(candidate.version_bits)
        header = job.header(extranonce, version_field, template.curtime, candidate.nonce)
        if meets_target(header.hash_le(), template.target):
            break
    claim = SearchClaim.of(plan, candidate, BIP320_MASK, WORKERS)
    assert claim.position == place
    return make_proof(
        kind="block",
        network="regtest",
        height=200,
        header=header.pack(),
        coinbase=bytes.fromhex(job.coinbase.serialize(extranonce).hex()),
        merkle_branch=job.merkle_branch,
        plan=plan_section(claim, BIP320_MASK, extranonce, plan),
    )


def outcomes(proof: dict[str, Any], folder: Path) -> tuple[bool, bool, str]:
    """Whether the two verifiers take it, and what they say."""
    path = folder / "proof.json"
    path.write_text(json.dumps(proof))
    result, alone = verify(path), standalone(path)
    return result.holds, alone.holds, "\n".join([*result.lines(), alone.output])


@pytest.mark.parametrize("order", sorted(USES))
def test_both_verifiers_recompute_the_position(order: str, tmp_path: Path) -> None:
    rng = random.Random(order)
    for seed in range(6):
        proof = block_proof(plan_of(order, seed), rng)
        holds, alone, said = outcomes(proof, tmp_path)
        assert (holds, alone) == (True, True), said
        assert said.count("recomputed from the search plan") == 2
        for name in ("k", "version", "step", "offset"):
            spoilt = json.loads(json.dumps(proof))
            spoilt["plan"]["position"][name] ^= 1
            assert outcomes(spoilt, tmp_path)[:2] == (False, False), name


@pytest.mark.parametrize(
    "change",
    [
        {"worker": 2},
        {"worker": 7},
        {"worker_count": 5},
        {"engine": "gpu"},
        {"extranonce": 9},
        {"extranonce_hex": "00" * 12},
        {"plan_hash_hex": "00" * 32},
        {"facts": {}},
        {"facts": plan_of("sequential", 3).facts()},
        {"position": {"k": -1, "version": 0, "step": 0, "offset": 0}},
        {"position": {"k": 0, "version": 8, "step": 0, "offset": 0}},
        {"position": {"k": 0, "version": 0, "step": 1 << 30, "offset": 0}},
        {"position": {"k": 0, "version": 0, "step": 0, "offset": 1 << 30}},
    ],
)
def test_both_verifiers_refuse_a_changed_claim(change: dict[str, Any], tmp_path: Path) -> None:
    rng = random.Random(3)
    proof = block_proof(plan_of("knuth"), rng)
    while proof["plan"]["worker"] != 1:
        proof = block_proof(plan_of("knuth"), rng)
    proof["plan"] |= change
    assert outcomes(proof, tmp_path)[:2] == (False, False)


def test_a_claim_without_its_plan_is_left_unchecked(tmp_path: Path) -> None:
    plan = plan_of("shuffled")
    proof = block_proof(plan, random.Random(1))
    del proof["plan"]["facts"]
    holds, alone, said = outcomes(proof, tmp_path)
    assert (holds, alone) == (True, True)
    assert "position(s) in a search plan that the proof does not contain" in said
    assert "positions in a search plan that the proof does not contain" in said
    assert replay_proof(proof) is None
    assert replay_proof(proof, plan) is not None
    with pytest.raises(VerifyError, match="names plan"):
        replay_proof(proof, replace(plan, strides=plan_of("sequential").strides))


def test_a_proof_without_a_claim_cannot_be_replayed() -> None:
    proof = block_proof(plan_of("strided"), random.Random(2))
    with pytest.raises(VerifyError, match="has no search claim"):
        replay_proof({**proof, "plan": None})
    with pytest.raises(VerifyError, match="cannot be read"):
        replay_proof({**proof, "header_hex": "00"})
