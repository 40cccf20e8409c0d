"""Jobs on a signet with signed blocks: the signature fixes everything except the nonce (mining rule 49, BIP 325)."""

from __future__ import annotations

from dataclasses import replace

from solominer.chain.header import block_weight
from solominer.chain.signet import block_data, with_solution
from solominer.errors import TemplateError
from solominer.work.actions import Alarm, Severity, SignJob
from solominer.work.events import JobSigned
from solominer.work.instant import Instant
from solominer.work.job import HeaderSpace, Job
from solominer.work.raw_transactions import most_weight


class Signing:
    """The newest job that waits for its signature: requests signatures and matches the answers."""

    def __init__(self) -> None:
        self._waiting: Job | None = None
        self._silent_since: Instant | None = None
        self._node = ""

    def ask(self, job: Job, sign_for: tuple[bytes, int], node: str, at: Instant) -> SignJob:
        """Request a signature for this extranonce1 and these searched bits. Raises TemplateError if too heavy."""
        self._waiting = to_be_signed(job, job.extranonce(*sign_for))
        self._silent_since, self._node = self._silent_since or at, node
        return SignJob(node, self._waiting)

    def overdue(self, at: Instant, patience_secs: float) -> Alarm | None:
        """An alarm if no request was answered for `patience_secs`.

        A later answer is still used, unless a newer job was requested.
        """
        if self._silent_since is None or at - self._silent_since < patience_secs:
            return None
        self._silent_since = None
        text = f"{self._node} did not sign a job within {patience_secs:g} s"
        todo = "it is retried; check the wallet with the signet's key"
        return Alarm(Severity.HIGH, "job-not-signed", text, todo)

    def is_wanted(self, event: JobSigned, tip_le: bytes) -> bool:
        """Whether the answer is for the waiting job and the current tip."""
        self._silent_since = None
        job = self._waiting
        return job is not None and job.job_id == event.job_id and job.template.prevhash_le == tip_le

    def finish(self, event: JobSigned) -> Job | None:
        """The signed job, or None if signing failed. Raises SolominerError for an invalid signature."""
        job, self._waiting = self._waiting, None
        return None if job is None or event.problem else signed(job, event.solution)


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
