"""The messages that announce a job. All but the channel's number and root is the same for all and written once."""

from __future__ import annotations

from struct import Struct

from solominer.engines.stratum.v2.frames import Packed
from solominer.engines.stratum.v2.messages import (
    FORMS,
    Message,
    NewExtendedMiningJob,
    NewMiningJob,
    SetNewPrevHash,
    packed,
)
from solominer.engines.stratum.work import Job

JOB_IDS = 1 << 32
"""A job's id is its number, modulo this."""

_STANDARD, _EXTENDED, _PARENT = (FORMS[each].head for each in (NewMiningJob, NewExtendedMiningJob, SetNewPrevHash))
_NUMBER = Struct("<I")
_ROOT_BYTES = 32


def standard(channel_id: int, job: Job, root: bytes, is_new_tip: bool) -> Packed:
    """NewMiningJob with this Merkle root; on another tip a future job."""
    key = "v2 future" if is_new_tip else "v2"
    rest = job.written.get(key)
    if rest is None:
        work = job.work
        message = NewMiningJob(0, job.seq % JOB_IDS, _min_ntime(job, is_new_tip), work.base_version, bytes(_ROOT_BYTES))
        rest = job.written[key] = _rest(message)[:-_ROOT_BYTES]
    return Packed(_STANDARD, _NUMBER.pack(channel_id) + rest + root)


def extended(channel_id: int, job: Job, is_new_tip: bool) -> Packed:
    """NewExtendedMiningJob; on another tip a future job."""
    key = "v2 extended future" if is_new_tip else "v2 extended"
    rest = job.written.get(key)
    if rest is None:
        work = job.work
        rolls, halves = work.version_mask != 0, (work.merkle_branch, job.prefix, job.suffix)
        start = 0, job.seq % JOB_IDS, _min_ntime(job, is_new_tip), work.base_version
        rest = job.written[key] = _rest(NewExtendedMiningJob(*start, rolls, *halves))
    return Packed(_EXTENDED, _NUMBER.pack(channel_id) + rest)


def parent(channel_id: int, job: Job) -> Packed:
    """SetNewPrevHash, which makes a future job the one to work on."""
    rest = job.written.get("v2 parent")
    if rest is None:
        work = job.work
        message = SetNewPrevHash(0, job.seq % JOB_IDS, work.prevhash_le, work.ntime, work.nbits)
        rest = job.written["v2 parent"] = _rest(message)
    return Packed(_PARENT, _NUMBER.pack(channel_id) + rest)


def _min_ntime(job: Job, is_new_tip: bool) -> int | None:
    return None if is_new_tip else job.work.ntime


def _rest(message: Message) -> bytes:
    """What follows the channel's number."""
    return packed(message).payload[_NUMBER.size :]
