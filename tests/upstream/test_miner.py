"""PoolMiner: jobs, shares and pauses in, actions out; no sockets, no workers."""

from __future__ import annotations

from typing import Any

from solominer.chain.networks import REGTEST
from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment
from solominer.errors import PoolError
from solominer.upstream.miner import MOST_JOBS, PoolMiner
from solominer.upstream.submit import Answered, Outcome, Sent
from solominer.work.actions import Action, Alarm, PublishJob, Record, ShareSeen, StopWork
from solominer.work.events import PauseWanted, PolicyChanged, ResumeWanted, ShareFound, Tick, WorkerStarted
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.policy import Policy
from solominer.work.workers import WorkerId
from tests.upstream.scripted import MAINNET_BITS, assignment_of

ONE = PoolConfig(url="stratum+tcp://one:1", user="u")
TWO = PoolConfig(url="stratum+tcp://two:2", user="u")
AT = Instant(1000.0, 10.0)
CPU = WorkerId("cpu", "0")


class Rig:
    def __init__(self) -> None:
        self.done: list[Action] = []
        self.sent: list[tuple[PoolConfig, Sent]] = []
        self.miner = PoolMiner(
            REGTEST, Policy(), 77, self.done.extend, lambda pool, sent: self.sent.append((pool, sent)), lambda: AT
        )

    def take(self) -> list[Action]:
        done = list(self.done)
        self.done.clear()
        return done

    def job(self, pool: PoolConfig = ONE, assignment: Assignment | None = None, **changes: Any) -> Job:
        self.miner.pool_job(pool, assignment or assignment_of(**changes))
        (job,) = [action.job for action in self.take() if isinstance(action, PublishJob)]
        return job

    def share(self, job: Job, *, block: bool | None = None, skip: int = 0, **changes: Any) -> ShareFound:
        """The first share from `skip` on; `changes` make it wrong."""
        nonce = skip
        while True:
            value = int.from_bytes(
                job.header(job.extranonce(), job.space.version, job.space.ntime_min, nonce).hash_le(), "little"
            )
            if value <= job.share_target and block in (None, value <= job.template.target):
                break
            nonce += 1
        fields: dict[str, Any] = {
            "job_id": job.job_id,
            "extranonce": job.extranonce(),
            "version": job.space.version,
            "ntime": job.space.ntime_min,
            "nonce": nonce,
        } | changes
        share = ShareFound(at=AT, worker=CPU, kernel="k", **fields)
        self.miner.handle(share)
        return share


def records(actions: list[Action]) -> list[str]:
    return [action.kind for action in actions if isinstance(action, Record)]


def test_a_share_goes_to_its_pool_once() -> None:
    rig = Rig()
    job = rig.job(nbits=MAINNET_BITS)
    assert rig.miner.status == "mining"
    share = rig.share(job)
    (seen,) = rig.take()
    assert isinstance(seen, ShareSeen)
    assert not seen.stale
    ((pool, sent),) = rig.sent
    assert (pool, sent.share, sent.hash_le, sent.is_block) == (ONE, share, seen.hash_le, False)
    rig.miner.handle(share)
    assert records(rig.take()) == ["share_duplicate"]
    assert len(rig.sent) == 1


def test_a_block_is_said_to_be_one_and_sent_however_late() -> None:
    rig = Rig()
    job = rig.job()
    rig.job(prevhash="ff" * 32)
    rig.share(job, block=True)
    seen, record = rig.take()
    assert isinstance(seen, ShareSeen)
    assert seen.stale
    assert isinstance(record, Record)
    assert record.kind == "pool_block"
    assert (record.fields["pool"], record.fields["height"], record.fields["worker"]) == (ONE.url, 200, "cpu/0")
    assert [sent.is_block for _, sent in rig.sent] == [True]
    assert rig.miner.pool_blocks == 1


def test_a_stale_share_is_recorded_and_not_sent() -> None:
    rig = Rig()
    old = rig.job(nbits=MAINNET_BITS)
    rig.job(prevhash="ff" * 32, nbits=MAINNET_BITS)
    rig.share(old)
    (seen,) = rig.take()
    assert isinstance(seen, ShareSeen)
    assert seen.stale
    assert rig.sent == []


def test_what_an_engine_claims_is_hashed_again() -> None:
    rig = Rig()
    job = rig.job(nbits=MAINNET_BITS)
    misses = next(
        nonce
        for nonce in range(1000)
        if int.from_bytes(
            job.header(job.extranonce(), job.space.version, job.space.ntime_min, nonce).hash_le(), "little"
        )
        > job.share_target
    )
    rig.share(job, nonce=misses)
    rig.share(job, version=job.space.version ^ 1)
    rig.share(job, ntime=job.space.ntime_min + 1)
    rig.share(job, extranonce=bytes(12))
    assert records(rig.take()) == ["share_misses_target"] * 4
    rig.share(job, job_id=99)
    assert records(rig.take()) == ["share_of_unknown_job"]
    assert rig.sent == []


def test_pauses_stop_the_work_and_a_resumed_job_is_another_search() -> None:
    rig = Rig()
    job = rig.job()
    rig.miner.handle(PauseWanted(AT, "by hand"))
    assert [type(action) for action in rig.take()] == [Record, StopWork]
    assert rig.miner.status == "paused: by hand"
    rig.miner.pool_job(ONE, assignment_of(prevhash="ee" * 32))
    assert not any(isinstance(action, PublishJob) for action in rig.take())
    rig.miner.handle(ResumeWanted(AT, "another reason"))
    assert rig.take() == []
    rig.miner.handle(ResumeWanted(AT, "by hand"))
    _, published = rig.take()
    assert isinstance(published, PublishJob)
    assert published.job.salt != job.salt
    assert published.job.template.prevhash_hex == rig.miner.job.template.prevhash_hex if rig.miner.job else False
    rig.miner.handle(PolicyChanged(AT, Policy(shares_per_hour=5.0)))
    assert rig.miner.policy.shares_per_hour == 5.0
    rig.miner.handle(WorkerStarted(AT, CPU, 1, "k"))
    rig.miner.handle(Tick(AT))
    assert records(rig.take()) == ["worker_started"]


def test_a_lost_pool_stops_the_work_if_it_was_mined_at() -> None:
    rig = Rig()
    rig.job(TWO)
    error = PoolError("stratum+tcp://one:1: closed", "")
    rig.miner.pool_lost(ONE, error, is_news=True)
    record, alarm = rig.take()
    assert isinstance(record, Record)
    assert isinstance(alarm, Alarm)
    assert (record.kind, alarm.code) == ("pool_lost", "pool-lost")
    rig.miner.pool_lost(ONE, error, is_news=False)
    assert rig.take() == []
    rig.miner.pool_lost(TWO, error, is_news=False)
    assert rig.take() == [StopWork("pool lost")]
    assert rig.miner.status == "waiting for a pool"
    assert rig.miner.job is None


def test_answers_are_recorded_and_a_refused_block_alarms() -> None:
    rig = Rig()
    rig.share(rig.job(), block=True)
    rig.take()
    ((_, sent),) = rig.sent
    rig.miner.pool_answered(ONE, Answered(sent, Outcome.ACCEPTED, "", 0.01))
    (record,) = rig.take()
    assert isinstance(record, Record)
    assert record.fields["outcome"] == "accepted"
    rig.miner.pool_answered(ONE, Answered(sent, Outcome.REJECTED, "bad", 0.01))
    _, alarm = rig.take()
    assert isinstance(alarm, Alarm)
    assert alarm.code == "pool-refused-block"
    assert "rejected, bad" in alarm.message


def test_jobs_and_parents_are_kept_in_bounds() -> None:
    rig = Rig()
    first = rig.job(nbits=MAINNET_BITS)
    for number in range(MOST_JOBS):
        job = rig.job(prevhash=f"{number:064x}", nbits=MAINNET_BITS)
    rig.share(job)
    rig.take()
    rig.share(first)
    assert records(rig.take()) == ["share_of_unknown_job"]
