"""The jobs of all connections: made of the current work, kept for late shares, and made again when forgotten.

A job is announced to every client of an audience under the same id, so a refresh is one line for all of them. A new
announcement always has a new id and, through a counter in its coinbase, new content: clients that start their
extranonce2 over with each job never hash a header twice. A job is a function of its work, its audience and its number;
so as long as the work is known, a share of a job that was dropped can still be hashed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence

from solominer.chain.coinbase import build_coinbase
from solominer.chain.script import push, push_height
from solominer.chain.serialize import uint32_le
from solominer.chain.transaction import TxOut
from solominer.engines.stratum.work import (
    EXTRANONCE_SIZE,
    OWN_SPLIT,
    Audience,
    Job,
    Split,
    Standing,
    Work,
    seq_of,
)
from solominer.work.group import GroupPlan, plan_group
from solominer.work.job_check import check_coinbase
from solominer.work.policy import KEEP_BYTES, KEEP_SECS

WORK_BYTES = 4096
JOBS_PER_WORK_BITS = 24
PROCESS_SEQS = 1 << 52
"""Numbers of one process of the server: the first numbers of two are a multiple of it apart."""
RUN_SEQS = 1 << 56
"""Numbers of all processes of one run of the daemon: the first number of a run is a multiple of it."""

Payouts = Callable[[Work, Audience], Sequence[TxOut]]


def script_sig_bytes(work: Work) -> int:
    """Size of the scriptSig in the coinbases of its jobs."""
    counter = len(push(bytes(4)))
    tag = len(push(work.tag)) if work.tag else 0
    return len(push_height(work.height)) + len(work.coinbase_aux) + counter + 1 + EXTRANONCE_SIZE + tag


def plan_of(work: Work, room_bytes: int) -> GroupPlan:
    """The payouts of a group's block whose coinbase may have `room_bytes`. Raises PayoutError if nobody can be paid."""
    standing = work.group or Standing(0, ())
    return plan_group(
        standing.works,
        standing.balances,
        work.coinbase_value,
        room_bytes=room_bytes,
        script_sig_bytes=script_sig_bytes(work),
    )


class _Kept:
    """Work, when it came, and the number of its first job."""

    __slots__ = ("at", "first_seq", "outputs", "work")

    def __init__(self, work: Work, at: float, first_seq: int) -> None:
        self.work, self.at, self.first_seq = work, at, first_seq
        self.outputs: dict[Audience, tuple[TxOut, ...]] = {}

    def size(self) -> int:
        outputs = sum(200 * (1 + len(outputs)) for outputs in self.outputs.values())
        return WORK_BYTES + self.work.external_bytes + 64 * len(self.work.merkle_branch) + outputs


class JobBoard:
    """Makes and keeps jobs. `payouts` says who is paid; `first_seq` differs between runs of the daemon.

    `split` is that of the work to come, which miners are told when they connect.

    Jobs of a work are numbered from first_seq + work_id * 2**24 on, so a server that is started again and is given the
    same works knows the jobs of the one before; `skip` leaves out the numbers that it may have used.

    Outputs of an audience without a script can change with time (group payouts), so they are kept with the work; those
    of a script are computed again. Work is kept for `keep_secs` and up to `keep_bytes`; the oldest tip goes first, the
    current work never. Finished jobs may take a quarter of that on top; they can be made again.
    """

    def __init__(
        self,
        payouts: Payouts,
        first_seq: int,
        *,
        split: Split = OWN_SPLIT,
        keep_bytes: int = KEEP_BYTES,
        keep_secs: float = KEEP_SECS,
    ) -> None:
        self.split = split
        self._payouts = payouts
        self._first_seq = self._next_seq = first_seq
        self._keep_bytes, self._keep_secs = keep_bytes, keep_secs
        self._works: list[_Kept] = []
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._jobs_bytes = 0
        self._newest: dict[Audience, Job] = {}
        self._withdrawn = False

    @property
    def current(self) -> Work | None:
        """The work to mine now, or None while there is none."""
        return self._works[-1].work if self._works and not self._withdrawn else None

    @property
    def tip_le(self) -> bytes:
        """The block that current work builds on."""
        return self._works[-1].work.prevhash_le if self._works else b""

    @property
    def oldest_seq(self) -> int:
        """The smallest number whose job could still be made."""
        return self._works[0].first_seq if self._works else self._next_seq

    def publish(self, work: Work, now: float) -> None:
        """`work` is what is to be mined from now on."""
        self._withdrawn = False
        self._next_seq = max(self._next_seq, self._first_seq + (work.work_id << JOBS_PER_WORK_BITS))
        self._works.append(_Kept(work, now, self._next_seq))
        self._newest.clear()
        self._forget(now)

    def withdraw(self) -> None:
        """Nothing is to be mined until work is published again; shares of what was are still checked."""
        self._withdrawn = True

    def skip(self, jobs: int) -> None:
        """Leave out so many numbers of the current work."""
        self._next_seq += jobs

    def job_after(self, seq: int, audience: Audience) -> Job:
        """The newest job of an audience if its number is above `seq`, else a new one. There must be current work.

        Raises PayoutError or BadValue if the audience cannot be paid, TemplateError if the job fails its own check.
        """
        newest = self._newest.get(audience)
        if newest is not None and newest.seq > seq:
            return newest
        job = self._make(self._next_seq, self._works[-1], audience)
        self._next_seq += 1
        self._newest[audience] = job
        self._keep(job)
        return job

    def find(self, job_id: str, audience: Audience | None) -> Job | None:
        """The job that was announced under `job_id`; one that was dropped is made again for `audience`."""
        seq = seq_of(job_id)
        if seq is None:
            return None
        job = self._jobs.get(seq)
        if job is not None or audience is None or not self.oldest_seq <= seq < self._next_seq:
            return job
        job = self._make(seq, self._work_of(seq), audience)
        self._keep(job)
        return job

    def find_elsewhere(self, job_id: str, audience: Audience) -> Job | None:
        """The job that another process announced under `job_id`; here it has the number that this one would use."""
        seq = seq_of(job_id)
        if seq is None or not self._works or seq // RUN_SEQS != self._first_seq // RUN_SEQS:
            return None
        seq = self._first_seq + (seq - self._first_seq) % PROCESS_SEQS
        end = self._first_seq + (self._works[-1].work.work_id + 1 << JOBS_PER_WORK_BITS)
        return self._make(seq, self._work_of(seq), audience) if self.oldest_seq <= seq < end else None

    def _work_of(self, seq: int) -> _Kept:
        return self._works[bisect_right(self._works, seq, key=lambda kept: kept.first_seq) - 1]

    def _make(self, seq: int, kept: _Kept, audience: Audience) -> Job:
        work = kept.work
        if work.pool is not None:
            size = work.pool.split.jobs
            number = (seq + work.work_id) % (1 << 8 * size)
            return Job(seq, work, audience, work.pool.prefix + number.to_bytes(size, "big"), work.pool.suffix)
        outputs = kept.outputs.get(audience) or tuple(self._payouts(work, audience))
        if audience.script is None:
            kept.outputs[audience] = outputs
        coinbase = build_coinbase(
            height=work.height,
            payouts=outputs,
            coinbase_value=work.coinbase_value,
            commitment=work.commitment,
            extranonce_size=EXTRANONCE_SIZE,
            tag=work.tag,
            aux=work.coinbase_aux + push(uint32_le(seq & 0xFFFFFFFF)),
        )
        check_coinbase(
            coinbase.prefix,
            coinbase.suffix,
            EXTRANONCE_SIZE,
            height=work.height,
            commitment=work.commitment,
            coinbase_value=work.coinbase_value,
            payouts=[(out.script_pubkey, out.value_sats) for out in outputs],
        )
        return Job(seq, work, audience, coinbase.prefix, coinbase.suffix)

    def _keep(self, job: Job) -> None:
        self._jobs[job.seq] = job
        self._jobs_bytes += job.kept_bytes
        while self._jobs_bytes > self._keep_bytes // 4 and len(self._jobs) > 1:
            self._jobs_bytes -= self._jobs.popitem(last=False)[1].kept_bytes

    def _forget(self, now: float) -> None:
        works = self._works
        fresh = 0
        while fresh < len(works) - 1 and now - works[fresh].at >= self._keep_secs:
            fresh += 1
        sizes = [kept.size() for kept in works]
        while fresh < len(works) - 1 and sum(sizes[fresh:]) > self._keep_bytes:
            tip = works[fresh].work.prevhash_le
            whole = tip != works[-1].work.prevhash_le
            fresh += 1
            while whole and works[fresh].work.prevhash_le == tip:
                fresh += 1
        if fresh:
            del works[:fresh]
            for seq in [seq for seq in self._jobs if seq < works[0].first_seq]:
                self._jobs_bytes -= self._jobs.pop(seq).kept_bytes
