"""Makes jobs for engines from what a pool sends. The pool is not trusted: what cannot be mined is a BadValue."""

from __future__ import annotations

from solominer.chain.coinbase import Coinbase
from solominer.chain.header import MAX_BLOCK_SIGOP_COST, MAX_BLOCK_WEIGHT
from solominer.chain.networks import Network
from solominer.chain.target import proof_target
from solominer.engines.stratum.assignment import Assignment, read_coinbase
from solominer.errors import BadValue, printable
from solominer.work.job import SEARCHED_SIZE, HeaderSpace, Job
from solominer.work.template import BIP320_MASK, EMPTY_COMMITMENT, Template
from solominer.work.workers import EXTRANONCE_SIZE

MAX_COINBASE_BYTES = 60_000
"""What fits the shared memory of the workers beside the rest of the job."""

HARDEST_TARGET = 1 << 128
"""A lower target of shares is refused: no network has ever been within a factor of 2**40 of it."""

_MAX_ID = 64


def pool_job(assignment: Assignment, *, network: Network, pool: str, job_id: int, number: int, engines: int = 1) -> Job:
    """The job for what `pool` assigns. Raises BadValue if it cannot be mined.

    `job_id` is ours; `number` differs between jobs and runs. Two `engines` need a byte to be told apart by.

    ntime stays as the pool has it, which every pool accepts: the extranonce alone has room for 2**64 headers. A header
    that is a block meets the job's share target, even if the pool asks for harder shares.
    """
    server = assignment.job
    size = assignment.extranonce2_size
    least = SEARCHED_SIZE + (engines > 1)
    if size < least:
        alone = " for CPU and graphics cards together: set cpu_workers to 0" if size == SEARCHED_SIZE else ""
        raise BadValue(f"extranonce2 has {size} bytes, at least {least} are needed{alone}")
    seen = read_coinbase(assignment)
    if seen.height is None:
        raise BadValue("the coinbase does not begin with the height (BIP 34)")
    if seen.size > MAX_COINBASE_BYTES:
        raise BadValue(f"the coinbase has {seen.size} bytes, the maximum is {MAX_COINBASE_BYTES}")
    if not server.ntime:
        raise BadValue("ntime is 0")
    target = proof_target(server.nbits, network.pow_limit)
    share_target = assignment.share_target
    if share_target < HARDEST_TARGET:
        raise BadValue(f"no miner can meet its share difficulty of {assignment.difficulty:g}")
    outputs = seen.transaction.outputs
    value_sats = sum(out.value_sats for out in outputs)
    mask = assignment.version_mask & BIP320_MASK
    template = Template(
        network=network,
        height=seen.height,
        prevhash_le=server.prevhash_le,
        version=server.version,
        version_mask=mask,
        nbits=server.nbits,
        target=target,
        curtime=server.ntime,
        mintime=server.ntime,
        coinbase_value=value_sats,
        coinbase_aux=b"",
        transactions=(),
        commitment=EMPTY_COMMITMENT,
        sigop_limit=MAX_BLOCK_SIGOP_COST,
        weight_limit=MAX_BLOCK_WEIGHT,
        longpollid="",
        template_id=printable(server.job_id, _MAX_ID),
    )
    ours = min(size, EXTRANONCE_SIZE)
    coinbase = Coinbase(
        prefix=server.coinbase1 + assignment.extranonce1 + bytes(size - ours),
        suffix=server.coinbase2,
        extranonce_size=ours,
        outputs=outputs,
        sigop_cost=0,
        weight=4 * seen.size,
    )
    return Job(
        job_id=job_id,
        template=template,
        coinbase=coinbase,
        merkle_branch=server.branch,
        salt=salt_of(number, ours),
        share_target=max(share_target, target),
        space=HeaderSpace(server.version, mask, server.ntime, server.ntime),
        pool=pool,
    )


def salt_of(number: int, extranonce_size: int) -> bytes:
    """The salt of a job whose extranonce has `extranonce_size` bytes, 4 to 12: half of what is not searched.

    With it a job that is published again is not searched from the beginning. The other half separates engines: the last
    bytes of their extranonce1.
    """
    size = (extranonce_size - SEARCHED_SIZE) // 2
    return (number % (1 << 8 * size)).to_bytes(size, "big")


def extranonce2_of(assignment: Assignment, extranonce: bytes) -> bytes:
    """The pool's extranonce2 for an extranonce of its job: surplus bytes are zero."""
    return bytes(assignment.extranonce2_size - len(extranonce)) + extranonce
