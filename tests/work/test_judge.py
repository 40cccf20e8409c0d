"""Shares are known again: per parent, in bounded memory, and a block is one however often it comes."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.hashes import sha256d
from solominer.work.actions import Record, SaveBlock, ShareSeen
from solominer.work.events import HealthSeen, JobRestored, ShareFound, TemplateReady
from solominer.work.job import HeaderSpace, Job, SplitCoinbase, build_job
from solominer.work.judge import HEADERS_KEPT, Judge, SeenHeaders
from solominer.work.workers import WorkerId
from tests.fakes import ANY_HASH
from tests.work.builders import (
    PAYOUT,
    T0,
    coordinator,
    feed,
    health,
    mining,
    of_type,
    real_template,
    solution,
    template_on,
    tip,
)

WHO = WorkerId("stratum", "a")
ROOM = 1 << 20


def job_on(parent: int, job_id: int) -> Job:
    """A job that every hash is a share of."""
    return build_job(template_on(tip(parent), 261), PAYOUT, job_id=job_id, salt=b"salt")


def share_of(job: Job, nonce: int) -> ShareFound:
    """A share of it."""
    return ShareFound(T0, WHO, job.job_id, job.extranonce(), 0x20000000, job.space.ntime_min, nonce, ANY_HASH)


def kinds(judge: Judge, share: ShareFound) -> list[str]:
    """What becomes of a share."""
    actions, _ = judge.judge(share, tip(1))
    assert all(isinstance(action, Record | ShareSeen) for action in actions)
    return [action.kind if isinstance(action, Record) else "share" for action in actions]


def test_a_share_is_known_again_after_thousands_of_others() -> None:
    judge, job = Judge(60.0, ROOM), job_on(1, 1)
    judge.keep(job, T0)
    for nonce in range(5000):
        assert kinds(judge, share_of(job, nonce)) == ["share"]
    assert kinds(judge, share_of(job, 0)) == ["share_duplicate"]
    assert judge.shares == 5000


def test_a_share_is_known_again_under_another_tip_until_its_parents_last_job_is_forgotten() -> None:
    judge, first, same_parent, newer = Judge(60.0, ROOM), job_on(1, 1), job_on(1, 2), job_on(2, 3)
    judge.keep(first, T0)
    judge.keep(same_parent, T0 + 30)
    judge.keep(newer, T0 + 40)
    assert kinds(judge, share_of(same_parent, 7)) == ["share"]
    judge.forget_old(newer, T0 + 61)
    assert kinds(judge, share_of(first, 7)) == ["share_of_unknown_job"]
    assert kinds(judge, share_of(same_parent, 7)) == ["share_duplicate"]
    assert len(judge._seen) == 1
    judge.forget_old(newer, T0 + 91)
    assert judge._seen == {}


def test_a_block_is_found_again_though_it_is_a_duplicate_as_a_share_and_whatever_target_it_had() -> None:
    judge, job = Judge(60.0, ROOM), job_on(1, 1)
    judge.keep(job, T0)
    found = [judge.judge(replace(share_of(job, nonce), share_target=1), tip(1))[1] for nonce in [*range(64)] * 2]
    assert found[:64] == found[64:]
    assert any(found[:64])


@given(st.lists(st.integers(0, 40), max_size=200), st.integers(1, 12))
def test_the_last_ones_are_known_and_never_more_than_twice_as_many_are_kept(numbers: list[int], most: int) -> None:
    seen, kept = SeenHeaders(most), list[int]()
    for number in numbers:
        if number in kept[-most:]:
            assert not seen.add(sha256d(b"%d" % number))
        elif seen.add(sha256d(b"%d" % number)):
            kept.append(number)
        assert len(seen) <= 2 * most + 1


def test_a_full_one_takes_as_much_memory_as_it_says() -> None:
    tracemalloc.start()
    seen = SeenHeaders()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(2 * HEADERS_KEPT):
        seen.add(number.to_bytes(32, "little"))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seen) >= HEADERS_KEPT
    assert after - before < 16_000_000


def test_jobs_on_other_parents_go_first_where_memory_runs_short() -> None:
    judge = Judge(60.0, 9000)
    jobs = [job_on(parent, number) for number, parent in enumerate((1, 2, 1, 1))]
    for job in jobs:
        judge.keep(job, T0)
        judge.forget_old(job, T0)
    assert [judge.kept(job.job_id) for job in jobs] == [None, None, jobs[2], jobs[3]]
    judge.keep(moved := job_on(3, 4), T0)
    judge.forget_old(moved, T0)
    assert [judge.kept(job.job_id) for job in [*jobs, moved]] == [None, None, None, jobs[3], moved]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 70)), min_size=1, max_size=40))
def test_the_bytes_are_those_of_the_jobs_that_are_kept(steps: list[tuple[int, int]]) -> None:
    """And all goes when all is old: each transaction counts once, while any job has it."""
    judge, at = Judge(60.0, 12_000), T0
    full = real_template()
    for number, (parent, secs) in enumerate(steps):
        at += secs
        template = replace(template_on(tip(parent), 261), transactions=full.transactions[: number % 5])
        judge.keep(
            Job(number, template, job_on(1, 1).coinbase, (), b"salt", ANY_HASH, HeaderSpace.of(template, 600)), at
        )
        current = judge.kept(number)
        judge.forget_old(current, at)
        assert current is judge.kept(number) is not None
        kept = [each.job for each in judge._jobs.values()]
        distinct = {tx.wtxid_le: tx for job in kept for tx in job.template.transactions}
        assert judge._memory.bytes == sum(400 + len(tx.data_hex) for tx in distinct.values()) + sum(
            4000 + 8 * len(job.template.transactions) for job in kept
        )
        assert judge._memory.bytes <= 12_000 or len(kept) == 1
    judge.forget_old(None, at + 60)
    assert judge._memory.bytes == len(judge._jobs) == 0


def test_a_job_takes_no_more_memory_than_it_is_counted_with() -> None:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    judge = Judge(60.0, 1 << 30)
    for number in range(1000):
        judge.keep(job_on(number % 250, number), T0)
    judge.forget_old(None, T0)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < judge._memory.bytes


def test_a_solution_for_a_job_of_an_earlier_run_is_a_block_and_its_id_is_not_used_again() -> None:
    machine, before = mining()
    later = coordinator("a")
    feed(later, JobRestored(T0 + -30, before.job_id, before.template, 5.0))
    feed(later, HealthSeen(T0, health("a", best=tip(1))), TemplateReady(T0, "a", before.template))
    assert later.job is not None
    assert later.job.job_id > before.job_id + 100
    other = SplitCoinbase("x", before.coinbase.prefix, before.coinbase.suffix)
    found = replace(solution(before), coinbase=other, is_block=True)
    (saved,) = of_type(SaveBlock, feed(later, found))
    (as_before,) = of_type(SaveBlock, feed(machine, found))
    assert saved.block == as_before.block


def test_a_job_of_an_earlier_run_is_forgotten_by_its_age_there() -> None:
    machine = coordinator("a")
    keep_secs = machine.policy.keep_job_secs
    feed(machine, JobRestored(T0, 3, real_template(), keep_secs - 10))
    machine.judge.forget_old(None, T0 + 9)
    assert machine.judge.kept(3) is not None
    machine.judge.forget_old(None, T0 + 10)
    assert machine.judge.kept(3) is None


def test_a_job_of_an_earlier_run_that_cannot_be_built_is_recorded_and_its_id_not_used() -> None:
    _, before = mining()
    later = coordinator("a")
    (record,) = feed(later, JobRestored(T0, 5, replace(before.template, weight_limit=100), 0.0))
    assert isinstance(record, Record)
    assert record.kind == "job_not_restored"
    assert later.judge.kept(5) is None
    assert later.jobs.make(before.template, 600).job_id > 5


def test_a_block_that_an_earlier_run_has_counted_is_a_block_and_no_share() -> None:
    _, job = mining()
    judge = Judge(600.0, 1 << 20)
    judge.keep(job, T0)
    share = replace(solution(job), recorded=True)
    actions, found = judge.judge(share, tip(1))
    assert (actions, judge.shares) == ([], 0)
    assert found is not None
    (duplicate,), _ = judge.judge(replace(share, recorded=False), tip(1))
    assert isinstance(duplicate, Record)
    assert duplicate.kind == "share_duplicate"
