"""Jobs and plans small enough that a test can look at every header of them."""

from __future__ import annotations

from itertools import product

from solominer.chain.hashes import hash_to_int
from solominer.chain.header import Header
from solominer.chain.networks import MAINNET
from solominer.plan.plan import Families, Lanes, Palette, SearchPlan
from solominer.work.job import Job, build_job
from solominer.work.payout import Payout
from solominer.work.template import empty_template

HARD_NBITS = 0x1D00FFFF
EASY_SHARE = (1 << 251) - 1
"""A share target that one hash in 32 meets: fewer than a worker may report at once."""

SMALL_PLAN = SearchPlan(Families(extranonce_bits=3), Lanes(chunk_nonces=24), palette=Palette((13, 15)), nonce_space=64)


def make_job(job_id: int = 1, *, share_target: int = EASY_SHARE, roll_secs: int = 1) -> Job:
    """An empty block's job on mainnet at difficulty 1."""
    template = empty_template(
        MAINNET,
        height=200,
        prevhash_le=bytes(range(32)),
        version=0x20000000,
        version_mask=0x1FFFE000,
        nbits=HARD_NBITS,
        curtime=1_700_000_000,
        mintime=1_600_000_000,
    )
    payout = Payout(b"\x00\x14" + bytes(20))
    return build_job(
        template, payout, job_id=job_id, salt=job_id.to_bytes(4, "big"), share_target=share_target, roll_secs=roll_secs
    )


def all_points(job: Job, plan: SearchPlan) -> list[tuple[bytes, int, int, int]]:
    """Every (extranonce2, version, ntime, nonce) of the job under the plan."""
    space = job.space
    return list(
        product(
            (value.to_bytes(4, "big") for value in range(1 << plan.families.extranonce_bits)),
            (space.version_with(bits) for bits in plan.palette_versions(space.version_mask)),
            range(space.ntime_min, space.ntime_max + 1),
            range(plan.nonce_space),
        )
    )


def all_shares(job: Job, plan: SearchPlan) -> set[tuple[bytes, int, int, int]]:
    """Those points whose hash meets the share target, by hashing all of them."""
    roots = {point[0]: job.merkle_root_le(bytes(4) + job.salt + point[0]) for point in all_points(job, plan)}
    template = job.template
    return {
        (extranonce2, version, ntime, nonce)
        for extranonce2, version, ntime, nonce in all_points(job, plan)
        if hash_to_int(
            Header(version, template.prevhash_le, roots[extranonce2], ntime, template.nbits, nonce).hash_le()
        )
        <= job.share_target
    }
