"""What a node checks before it hashes: whoever sends the jobs, blocks pay nobody but those in its join file."""

from __future__ import annotations

from collections.abc import Collection

from solominer.chain.coinbase import MAX_SCRIPT_SIG
from solominer.chain.target import decode_compact
from solominer.chain.transaction import parse_transaction
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import DecodeError, PayoutError
from solominer.work.job import SEARCHED_SIZE
from solominer.work.workers import EXTRANONCE_SIZE

_NULL_INPUT = b"\x01" + bytes(32) + b"\xff\xff\xff\xff"
_INPUT_AT, _SIZE_AT = 4, 41
"""Where a coinbase has its input, and the length of the scriptSig."""


def check_payout(job: WorkerJob, scripts: Collection[bytes]) -> None:
    """Raises PayoutError if the job's coinbase pays anybody but these output scripts, or the job contradicts itself.

    Without any script, as on regtest, where the private node's wallet is paid, everybody may be paid. The extranonce
    must be inside the scriptSig: a lease changes it and so does the search, which must not change what is paid.
    """
    prefix = job.coinbase_prefix
    size = prefix[_SIZE_AT] if len(prefix) > _SIZE_AT else 0
    fits = size <= MAX_SCRIPT_SIG and len(prefix) + EXTRANONCE_SIZE <= _SIZE_AT + 1 + size
    if not fits or len(job.extranonce_prefix) != EXTRANONCE_SIZE - SEARCHED_SIZE:
        raise PayoutError(f"job {job.job_id} has a coinbase whose extranonce is not in the scriptSig")
    try:
        coinbase = parse_transaction(job.coinbase_prefix + job.extranonce(0) + job.coinbase_suffix)
        target = decode_compact(job.nbits)
    except DecodeError as error:
        raise PayoutError(f"job {job.job_id} has no valid coinbase: {error.what}") from error
    if prefix[_INPUT_AT:_SIZE_AT] != _NULL_INPUT:
        raise PayoutError(f"job {job.job_id} has a coinbase that spends a coin or has a witness")
    for output in coinbase.outputs:
        if scripts and output.value_sats and output.script_pubkey not in scripts:
            raise PayoutError(
                f"job {job.job_id} pays {output.value_sats} satoshis to {output.script_pubkey.hex()}, "
                "which is not in the join file",
                "if the head's payout address was changed, make new join files; otherwise somebody else sends the jobs",
            )
    if scripts and not any(output.script_pubkey in scripts for output in coinbase.outputs):
        raise PayoutError(f"job {job.job_id} pays nobody in the join file", "make a new join file on the head")
    if target != job.network_target or job.share_target < target:
        raise PayoutError(f"job {job.job_id} has targets that do not fit its nBits {job.nbits:08x}")
