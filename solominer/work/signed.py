"""Jobs on a signet with signed blocks: the signature fixes everything except the nonce (mining rule 49)."""

from __future__ import annotations

from dataclasses import replace

from solominer.chain.header import block_weight
from solominer.chain.signet import block_data, with_solution
from solominer.errors import TemplateError
from solominer.work.job import Job
from solominer.work.raw_transactions import most_weight
from solominer.work.space import HeaderSpace


def to_be_signed(job: Job, extranonce: bytes) -> Job:
    """The job with a fixed extranonce, version and time, and an empty solution."""
    space = HeaderSpace(job.space.version, 0, job.space.ntime_min, job.space.ntime_min)
    coinbase = with_solution(job.coinbase, b"")
    return _checked(replace(job, coinbase=coinbase, space=space, signed_extranonce=extranonce))


def data_to_sign(job: Job) -> bytes:
    """The 72 bytes to sign for such a job."""
    extranonce = job.signed_extranonce
    if extranonce is None:
        raise TemplateError("a job without a fixed extranonce cannot be signed", "this is a bug; please report it")
    root = job.merkle_root_le(extranonce)
    return block_data(job.space.version, job.template.prevhash_le, root, job.space.ntime_min)


def signed(job: Job, solution: bytes) -> Job:
    """The job with its solution. Raises TemplateError if it differs from what was signed."""
    done = _checked(replace(job, coinbase=with_solution(job.coinbase, solution)))
    if with_solution(done.coinbase, b"") != job.coinbase:
        raise TemplateError("the signed job differs from the one that was signed", "this is a bug; please report it")
    return done


def _checked(job: Job) -> Job:
    """Check the weight limit again, as the solution adds weight."""
    weight = block_weight(job.coinbase.weight, len(job.template.transactions), most_weight(job.template.transactions))
    if weight > job.template.weight_limit:
        raise TemplateError(
            f"the block's weight with its signature is {weight}, the limit is {job.template.weight_limit}",
            "set blockreservedweight=8000 in bitcoin.conf",
        )
    return job
