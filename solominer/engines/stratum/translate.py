"""Jobs in the words of the Stratum server, and what its miners find in the words of the coordinator."""

from __future__ import annotations

from solominer.chain.header import Header
from solominer.chain.target import target_from_difficulty
from solominer.engines.stratum.events import BlockFound, NotableShare
from solominer.engines.stratum.miners import NAME
from solominer.engines.stratum.work import PoolCoinbase, Work, split_of
from solominer.work.events import ShareFound
from solominer.work.instant import Instant
from solominer.work.job import Job, SplitCoinbase
from solominer.work.workers import WorkerId

POOL_ROLL_SECS = 600
"""How far miners may roll ntime beyond a pool's: pools take what nodes do, which is two hours."""


def share_found(what: BlockFound | NotableShare, work: Work | None, at: Instant) -> ShareFound:
    """The event of a share; `work` is what it was for, None if that is not kept any more."""
    header = Header.unpack(what.header)
    asked = target_from_difficulty(what.share_difficulty) if what.share_difficulty else 0
    recorded = work.notable_target if work else 0
    pool = work.pool if work else None
    return ShareFound(
        at=at,
        worker=WorkerId(NAME, what.worker),
        job_id=what.work_id,
        extranonce=what.extranonce if pool is None else what.extranonce[-sum(pool.split) :],
        version=header.version,
        ntime=header.ntime,
        nonce=header.nonce,
        share_target=min(asked, recorded) if asked and recorded else asked,
        kernel=what.user_agent or NAME,
        is_block=isinstance(what, BlockFound),
        coinbase=None if pool else SplitCoinbase(what.job_id, what.prefix, what.suffix),
    )


def work_of(job: Job, tag: bytes) -> Work:
    """A job as the Stratum process needs it."""
    template, space, pool = job.template, job.space, None
    ntime_max = space.ntime_max
    if job.pool:
        pool = PoolCoinbase(job.coinbase.prefix, job.coinbase.suffix, split_of(job.coinbase.extranonce_size))
        ntime_max += POOL_ROLL_SECS
    return Work(
        work_id=job.job_id,
        height=template.height,
        prevhash_le=template.prevhash_le,
        version=space.version,
        version_mask=space.version_mask,
        nbits=template.nbits,
        ntime=space.ntime_min,
        ntime_min=space.ntime_min,
        ntime_max=ntime_max,
        coinbase_value=template.coinbase_value,
        commitment=template.commitment,
        merkle_branch=job.merkle_branch,
        coinbase_aux=template.coinbase_aux,
        tag=tag,
        outputs=tuple((out.script_pubkey, out.value_sats) for out in job.coinbase.outputs[:-1]),
        notable_target_le=job.share_target.to_bytes(32, "little"),
        pool=pool,
    )
