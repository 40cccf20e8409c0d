"""Shares of one read, checked together: each header against the network's target first, whatever else is wrong with it.

A share that is stale, a duplicate, outside the version mask or too easy is refused with ckpool's words; but if its hash
makes a block, the block is found all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from solominer.chain.hashes import hash_to_int
from solominer.chain.header import Header, meets_target
from solominer.chain.target import HASH_SPACE, target_from_difficulty
from solominer.engines.stratum.duplicates import Duplicates
from solominer.engines.stratum.events import BlockFound, Event, KernelFault, NotableShare, Worker
from solominer.engines.stratum.messages import Errors, StratumError
from solominer.engines.stratum.reference import BLOCK, SHARE, Checked, HashlibValidator, JobParts, ShareCandidate
from solominer.engines.stratum.submit import Submission, extranonce2_candidates
from solominer.engines.stratum.work import Job

if TYPE_CHECKING:
    from solominer.engines.stratum.batch import Batch

share_target = lru_cache(maxsize=4096)(target_from_difficulty)
"""The target of a share difficulty, exact."""


@lru_cache(maxsize=4096)
def share_hashes(difficulty: float) -> int:
    """How many hashes a share of this difficulty takes on average, to the nearest whole number."""
    values = share_target(difficulty) + 1
    return (HASH_SPACE + values // 2) // values


class ShareValidator(Protocol):
    """`validate.Validator`, or the reference by hashlib."""

    def prepare(self, parts: JobParts) -> Any: ...
    def root(self, prepared: Any, extranonce: bytes) -> bytes: ...
    def check(self, prepared: Any, shares: Sequence[ShareCandidate]) -> list[Checked]: ...


class Claim(NamedTuple):
    """A share read from a connection, not hashed yet; `refusal` is what is wrong with it but for its hash."""

    id_json: bytes
    worker: Worker | None
    job: Job | None
    candidates: Sequence[ShareCandidate]
    job_difficulty: float
    refusal: StratumError | None


def make_claim(
    id_json: bytes,
    share: Submission,
    *,
    worker: Worker | None,
    job: Job | None,
    extranonce1: bytes,
    mask: int | None,
    job_difficulty: float | None,
    tip_le: bytes,
    refusal: StratumError | None,
) -> Claim:
    """What a submission claims to have hashed. `mask` is what was negotiated, None if nothing was.

    `job_difficulty` is None where the job was never announced to this connection. Where a client left open what it
    hashed (a wrong length, bits outside the mask), there are several candidates.
    """
    if job is None:
        return Claim(id_json, worker, None, (), 0.0, refusal or Errors.INVALID_JOB_ID)
    work = job.work
    allowed = work.rollable(mask)
    bits = share.version_bits or 0
    versions = [work.base_version | (bits & allowed)]
    if bits & ~allowed:
        refusal = refusal or Errors.VERSION_MASK
        versions += [work.base_version | bits, work.base_version ^ bits]
    extranonces = extranonce2_candidates(share.extranonce2, work.split.miner)
    if len(share.extranonce2) != 2 * work.split.miner:
        refusal = refusal or Errors.INVALID_NONCE2
    return claim_of(
        id_json,
        worker=worker,
        job=job,
        extranonces=[job.extranonce(extranonce1, extranonce2) for extranonce2 in extranonces],
        versions=versions,
        ntime=share.ntime,
        nonce=share.nonce,
        job_difficulty=job_difficulty,
        tip_le=tip_le,
        refusal=refusal,
    )


def claim_of(
    id_json: bytes,
    *,
    worker: Worker | None,
    job: Job,
    extranonces: Sequence[bytes],
    versions: Sequence[int],
    ntime: int,
    nonce: int,
    job_difficulty: float | None,
    tip_le: bytes,
    refusal: StratumError | None,
) -> Claim:
    """A claim of a job with whole extranonces and versions, the likeliest first, whatever protocol it came by."""
    work = job.work
    if job_difficulty is None:
        refusal = refusal or Errors.INVALID_JOB_ID
    if work.prevhash_le != tip_le:
        refusal = refusal or Errors.STALE
    if not work.ntime_min <= ntime <= work.ntime_max:
        refusal = refusal or Errors.NTIME_RANGE
    target = share_target(job_difficulty) if job_difficulty is not None else 0
    candidates = [
        ShareCandidate(extranonce, version, ntime, nonce, target)
        for extranonce in extranonces
        for version in dict.fromkeys(versions)
    ]
    return Claim(id_json, worker, job, candidates, job_difficulty or 0.0, refusal)


class ShareChecker:
    """Hashes claims in batches and says what becomes of them. Shared by all connections of a process."""

    def __init__(self, validator: ShareValidator, duplicates: Duplicates) -> None:
        self.validator = validator
        self.duplicates = duplicates
        self.batch: Batch | None = None
        """Checks plain shares of a packet together, where compiled code is to be had."""

    def use(self, batch: Batch | None) -> None:
        """Check with compiled code from now on; None: with hashlib alone."""
        self.batch, self.validator = batch, batch.validator if batch else HashlibValidator()

    def check(
        self, claims: Sequence[Claim], user_agent: str
    ) -> tuple[list[tuple[StratumError | None, int]], list[Event]]:
        """The error to answer to each, None if it is accepted, with its hash then; and blocks and notable shares.

        Tallies are updated.
        """
        results = self._hash(claims)
        events: list[Event] = []
        done = []
        for claim, checked in zip(claims, results, strict=True):
            error, hash_int = claim.refusal, 0
            for candidate, (_, meets) in zip(claim.candidates, checked, strict=True):
                if meets & BLOCK:
                    events.append(self._block(claim, candidate, user_agent))
            if claim.job is not None and error is None:
                hash_le, meets = checked[0]
                hash_int = hash_to_int(hash_le)
                if not meets & SHARE:
                    error = Errors.ABOVE_TARGET
                elif not self.duplicates.is_new(claim.job.work.prevhash_le, hash_le):
                    error = Errors.DUPLICATE
            if claim.worker is not None:
                if error is not None:
                    claim.worker.tally.reject(error.text)
                else:
                    events.extend(self._credit(claim, claim.worker, hash_int, user_agent))
            done.append((error, hash_int))
        return done, events

    def _hash(self, claims: Sequence[Claim]) -> list[list[Checked]]:
        """The checked candidates of each claim; those of one job go through the validator together."""
        by_job: dict[Job, list[int]] = {}
        for index, claim in enumerate(claims):
            if claim.job is not None:
                by_job.setdefault(claim.job, []).append(index)
        results: list[list[Checked]] = [[] for _ in claims]
        for job, indexes in by_job.items():
            prepared = self.prepared(job)
            checked = iter(
                self.validator.check(prepared, [each for index in indexes for each in claims[index].candidates])
            )
            for index in indexes:
                results[index] = [next(checked) for _ in claims[index].candidates]
        return results

    def root(self, job: Job, extranonce: bytes) -> bytes:
        """The Merkle root of a job's block with this extranonce, 32 bytes in internal order."""
        return self.validator.root(self.prepared(job), extranonce)

    def prepared(self, job: Job) -> Any:
        """What the validator needs of a job."""
        owner, prepared = job.prepared or (None, None)
        if owner is not self.validator:
            prepared = self.validator.prepare(job.parts())
            job.prepared = (self.validator, prepared)
        return prepared

    def _block(self, claim: Claim, candidate: ShareCandidate, user_agent: str) -> Event:
        job = claim.job
        assert job is not None
        header = job.header(candidate)
        if not meets_target(header.hash_le(), job.work.target):
            return KernelFault(header.pack())
        refused = claim.refusal.text if claim.refusal else ""
        return BlockFound(
            **_whole(claim, candidate, header, user_agent), refused=refused, group_bytes=job.audience.coinbase_bytes
        )

    def _credit(self, claim: Claim, worker: Worker, hash_int: int, user_agent: str) -> list[Event]:
        worker.tally.accept(1, share_hashes(claim.job_difficulty), hash_int)
        if worker.credit is not None:
            worker.credit(1, claim.job_difficulty)
        job, candidate = claim.job, claim.candidates[0]
        assert job is not None
        if not job.work.target < hash_int <= job.work.notable_target:  # a block is recorded as such
            return []
        whole = _whole(claim, candidate, job.header(candidate), user_agent)
        return [NotableShare(**whole, to_save=bool(job.work.origin))]


def _whole(claim: Claim, candidate: ShareCandidate, header: Header, user_agent: str) -> dict[str, Any]:
    """The fields of a `FoundShare`."""
    job, worker = claim.job, claim.worker
    assert job is not None
    return {
        "work_id": job.work.work_id,
        "job_id": job.job_id,
        "header": header.pack(),
        "prefix": job.prefix,
        "extranonce": candidate.extranonce,
        "suffix": job.suffix,
        "hash_le": header.hash_le(),
        "worker": worker.name if worker else "?",
        "user_agent": user_agent,
        "share_difficulty": claim.job_difficulty,
    }
