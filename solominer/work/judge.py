"""Checks the headers that engines submit: each against the network target first, however late it is (rule 41)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.header import meets_target
from solominer.work.actions import Action, Alarm, Record, Severity, ShareSeen
from solominer.work.events import ShareFound
from solominer.work.found import FoundBlock, solve
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.raw_transactions import is_read, raw_bytes
from solominer.work.template import TemplateTx

HEADERS_KEPT = 1 << 16
"""Duplicates are detected among at least this many headers on the same parent."""

_KEY_SIZE = 8


class SeenHeaders:
    """The headers on one parent, by 8 bytes of their hashes: at least the last `most`, at most twice as many.

    About 10 MB when full. The chance that any two of them collide is 5e-10, which would cost a share, never a block.
    """

    def __init__(self, most: int = HEADERS_KEPT) -> None:
        self._most = most
        self._recent: set[bytes] = set()
        self._older: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def add(self, hash_le: bytes) -> bool:
        """Add a header; returns whether it is new."""
        key = hash_le[:_KEY_SIZE]  # in internal order the leading zeros of the hash come last
        if key in self._recent or key in self._older:
            return False
        self._recent.add(key)
        if len(self._recent) > self._most:
            self._older, self._recent = self._recent, set()
        return True


@dataclass(frozen=True, slots=True)
class _Kept:
    """A job for which shares may still arrive, and when it was published."""

    job: Job
    at: Instant


class _Memory:
    """The approximate memory of the kept jobs; a transaction shared by several jobs counts once."""

    _PER_JOB, _PER_PLACE, _PER_TX = 4000, 8, 400

    def __init__(self) -> None:
        self.bytes = 0
        self._holders = Counter[bytes]()

    def add(self, job: Job) -> None:
        for tx in job.template.transactions:
            self._holders[tx.wtxid_le] += 1
            if self._holders[tx.wtxid_le] == 1:
                self.bytes += self._of(tx)
        self.bytes += self._own(job)

    def remove(self, job: Job) -> None:
        for tx in job.template.transactions:
            self._holders[tx.wtxid_le] -= 1
            if not self._holders[tx.wtxid_le]:
                del self._holders[tx.wtxid_le]
                self.bytes -= self._of(tx)
        self.bytes -= self._own(job)

    def _own(self, job: Job) -> int:
        return self._PER_JOB + self._PER_PLACE * len(job.template.transactions)

    def _of(self, tx: TemplateTx) -> int:
        return self._PER_TX + len(tx.data_hex)


class Judge:
    """Keeps jobs for `keep_secs`, or until they take more than `keep_bytes`; counts shares.

    If they take more, jobs on other parents than the current one's are dropped first: their blocks are stale.
    """

    def __init__(self, keep_secs: float, keep_bytes: int) -> None:
        self._keep_secs, self._keep_bytes = keep_secs, keep_bytes
        self._jobs: dict[int, _Kept] = {}
        self._unweighed: list[Job] = []
        self._memory = _Memory()
        self._seen: dict[bytes, SeenHeaders] = {}
        self.shares = 0

    def keep(self, job: Job, at: Instant) -> None:
        """A job was published."""
        self._jobs[job.job_id] = _Kept(job, at)
        self._unweighed.append(job)  # weighed later, so that it does not delay the job's publication

    def forget_old(self, current: Job | None, at: Instant) -> None:
        """Drop jobs that are too old or take too much memory; never the current one."""
        self._weigh()
        others = [kept for kept in self._jobs.values() if kept.job is not current]
        for kept in others:
            if at - kept.at >= self._keep_secs:
                self._forget(kept.job)
        if self._bytes <= self._keep_bytes:
            return
        parent_le = current.template.prevhash_le if current else b""
        others.sort(key=lambda kept: kept.job.template.prevhash_le == parent_le)  # stable: the oldest first
        for kept in others:
            if self._bytes > self._keep_bytes:
                self._forget(kept.job)

    @property
    def _bytes(self) -> int:
        return self._memory.bytes + sum(raw_bytes(job.template.transactions) for job in self._unweighed)

    def _weigh(self) -> None:
        """Weigh the jobs of which the transactions are known; those of the others have their bytes."""
        for job in self._unweighed:
            if is_read(job.template.transactions):
                self._memory.add(job)
        self._unweighed = [job for job in self._unweighed if not is_read(job.template.transactions)]

    def _forget(self, job: Job) -> None:
        if self._jobs.pop(job.job_id, None) is None:
            return
        if job in self._unweighed:
            self._unweighed.remove(job)
        else:
            self._memory.remove(job)
        parent_le = job.template.prevhash_le
        if all(kept.job.template.prevhash_le != parent_le for kept in self._jobs.values()):
            self._seen.pop(parent_le, None)

    def kept(self, job_id: int) -> Job | None:
        """The job of this id, if it is still kept."""
        kept = self._jobs.get(job_id)
        return kept.job if kept else None

    def judge(self, share: ShareFound, tip_le: bytes) -> tuple[list[Action], FoundBlock | None]:
        """The actions for a share, and the block if it is one."""
        job = self.kept(share.job_id)
        if job is None:
            return _of_unknown_job(share), None
        if job.signed_extranonce not in (None, share.extranonce):
            # The engine exhausted the signed extranonce: any other invalidates the block's signature.
            return [Record("share_outside_signature", {"worker": str(share.worker), "job": share.job_id})], None
        if share.coinbase is not None:
            job = job.with_coinbase(share.coinbase)
        header = job.header(share.extranonce, share.version, share.ntime, share.nonce)
        hash_le = header.hash_le()
        found = None
        if meets_target(hash_le, job.template.target):
            found = solve(
                job,
                header,
                share.extranonce,
                found_at=share.at.wall,
                worker=share.worker,
                kernel=share.kernel,
            )
        elif not meets_target(hash_le, share.share_target or job.share_target):
            return [Record("share_misses_target", {"worker": str(share.worker), "job": share.job_id})], None
        if not self._seen.setdefault(job.template.prevhash_le, SeenHeaders()).add(hash_le):
            return [Record("share_duplicate", {"worker": str(share.worker), "hash": to_rpc_hex(hash_le)})], found
        if share.recorded:
            return [], found
        self.shares += 1
        return [ShareSeen(share, job, hash_le, stale=job.template.prevhash_le != tip_le)], found


def _of_unknown_job(share: ShareFound) -> list[Action]:
    record = Record("share_of_unknown_job", {"worker": str(share.worker), "job": share.job_id})
    if not share.is_block:
        return [record]
    what = f"worker {share.worker} found a block for job {share.job_id}, which is no longer kept: the block is lost"
    return [record, Alarm(Severity.CRITICAL, "block-without-job", what, "report this with the log")]
