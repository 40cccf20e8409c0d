"""Jobs of a signet whose blocks are signed: the signature fixes everything but the nonce (mining rule 49)."""

from __future__ import annotations

from dataclasses import replace

from solominer.chain.header import block_weight
from solominer.chain.signet import block_data, with_solution
from solominer.errors import TemplateError
from solominer.work.job import Job
from solominer.work.space import HeaderSpace


def to_be_signed(job: Job, extranonce: bytes) -> Job:
    """The job with one extranonce, one version and one time, and room for a solution that is still empty."""
    space = HeaderSpace(job.space.version, 0, job.space.ntime_min, job.space.ntime_min)
    coinbase = with_solution(job.coinbase, b"")
    return _checked(replace(job, coinbase=coinbase, space=space, signed_extranonce=extranonce))


def data_to_sign(job: Job) -> bytes:
    """What the signature of such a job is over: 72 bytes."""
    extranonce = job.signed_extranonce
    if extranonce is None:
        raise TemplateError("a job without a fixed extranonce cannot be signed", "this is a bug; please report it")
    root = job.merkle_root_le(extranonce)
    return block_data(job.space.version, job.template.prevhash_le, root, job.space.ntime_min)


def signed(job: Job, solution: bytes) -> Job:
    """The job with its solution. Raises TemplateError if taking it out again would not give what was signed."""
    done = _checked(replace(job, coinbase=with_solution(job.coinbase, solution)))
    if with_solution(done.coinbase, b"") != job.coinbase:
        raise TemplateError("the signed job differs from the one that was signed", "this is a bug; please report it")
    return done


def _checked(job: Job) -> Job:
    """The solution makes the block heavier: look at its limit again."""
    weight = block_weight(job.coinbase.weight, [tx.weight for tx in job.template.transactions])
    if weight > job.template.weight_limit:
        raise TemplateError(
            f"with its signature the block would weigh {weight}, {job.template.weight_limit} are allowed",
            "set blockreservedweight=8000 in bitcoin.conf",
        )
    return job
