"""Works over a restart of the daemon: what is read back, what tears, and what a judge makes of their solutions."""

from __future__ import annotations

import logging
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from solominer.chain.networks import REGTEST
from solominer.engines import jobs_file
from solominer.engines.jobs_file import JobsFile, SavedJob
from solominer.engines.stratum.kept_works import SKIP_JOBS, KeptWork, KeptWorks
from solominer.engines.stratum.translate import work_of
from solominer.node.demo import synthetic_reply
from solominer.work.events import Event, JobRestored
from solominer.work.job import Job, build_job
from solominer.work.policy import KEEP_SECS
from solominer.work.raw_template import USUAL_RESERVE, template_of
from solominer.work.template import Template, parse_template
from tests.engines.stratum.builders import make_work
from tests.fakes import PAYOUT, real_clock
from tests.work.builders import real_template
from tests.work.stated import stated_of

FULL = real_template()
REPLY = synthetic_reply(REGTEST, seed=1, transactions=3)
SEQ = 5 << 56


def saved(work_id: int, template: Template = FULL, age: float = 0.0) -> SavedJob[KeptWork]:
    job = build_job(template, PAYOUT, job_id=work_id, salt=bytes(4))
    return SavedJob(time.time() - age, KeptWork(SEQ, work_of(job, b"/test/")), template)


def elsewhere(template: Template) -> Template:
    return replace(template, prevhash_le=bytes([7]) * 32)


def shrunk(template: Template, count: int) -> Template:
    """With the last `count` transactions alone."""
    return replace(template, transactions=template.transactions[-count:])


def restored(path: Path) -> list[SavedJob[KeptWork]]:
    return JobsFile(path, KeptWork).load()


def same(one: SavedJob[KeptWork], other: SavedJob[KeptWork]) -> bool:
    """All but the places that transactions spend from, which no job needs."""

    def plain(template: Template) -> Template:
        return replace(template, transactions=tuple(tx._replace(depends=()) for tx in template.transactions))

    works = vars(one.own.work) == vars(other.own.work)
    return (
        works
        and (one.at, one.own.first_seq) == (other.at, other.own.first_seq)
        and plain(one.template) == plain(other.template)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net" / "stratum-works.bin"


def test_what_was_published_comes_back_and_a_later_run_goes_on_with_it(path: Path) -> None:
    works = [saved(1, FULL.without_transactions()), saved(2), saved(3, shrunk(FULL, 1))]
    file = JobsFile(path, KeptWork)
    for each in works:
        file.add(each)
    again = JobsFile(path, KeptWork)
    assert all(map(same, again.load(), works))
    works.append(saved(1003, shrunk(FULL, 2)))
    again.add(works[-1])
    assert len(restored(path)) == 4
    assert all(map(same, restored(path), works))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_each_transaction_is_written_once(path: Path) -> None:
    file = JobsFile(path, KeptWork)
    file.add(saved(1))
    before = path.stat().st_size
    file.add(saved(2))
    assert path.stat().st_size - before < 2000 < before


def test_another_tip_begins_the_file_anew(path: Path) -> None:
    file = JobsFile(path, KeptWork)
    file.add(saved(1))
    file.add(saved(2, elsewhere(FULL)))
    assert [each.own.work.work_id for each in restored(path)] == [2]


def test_a_file_that_is_too_large_is_begun_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = JobsFile(path, KeptWork)
    file.add(saved(1))
    monkeypatch.setattr(jobs_file, "MOST_BYTES", 1000)
    file.add(saved(2))
    assert [each.own.work.work_id for each in restored(path)] == [2]


def test_old_works_and_more_than_some_are_not_restored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_file, "MOST_RESTORED", 3)
    file = JobsFile(path, KeptWork)
    for number, age in enumerate((KEEP_SECS + 1, 90, 60, 30, 0)):
        file.add(saved(number, age=age))
    assert [each.own.work.work_id for each in restored(path)] == [2, 3, 4]
    monkeypatch.setattr(jobs_file, "MOST_RESTORED", 9)
    assert [each.own.work.work_id for each in restored(path)] == [1, 2, 3, 4]


def test_wherever_it_is_torn_what_is_whole_comes_back_and_the_next_work_follows_it(path: Path) -> None:
    file = JobsFile(path, KeptWork)
    file.add(saved(1))
    first = path.stat().st_size
    file.add(saved(2, shrunk(FULL, 1)))
    whole = path.read_bytes()
    for end in range(first, len(whole), 37):
        for torn in (whole[:end], whole[:end] + bytes(len(whole) - end)):  # a power cut may leave zeros
            path.write_bytes(torn)
            again = JobsFile(path, KeptWork)
            assert [each.own.work.work_id for each in again.load()] == [1]
            again.add(saved(9, shrunk(FULL, 2)))
            assert [each.own.work.work_id for each in restored(path)] == [1, 9]


@pytest.mark.parametrize("content", [b"", b"{}", b"solominer-jobs/3\n", bytes(100)])
def test_what_is_not_ours_is_said_and_replaced(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    file = JobsFile(path, KeptWork)
    assert file.load() == []
    assert "are not restored" in caplog.text
    file.add(saved(4))
    assert [each.own.work.work_id for each in restored(path)] == [4]


def test_a_record_that_names_a_transaction_which_is_not_there_restores_nothing(path: Path) -> None:
    file = JobsFile(path, KeptWork)
    file._known = {tx.wtxid_le: place for place, tx in enumerate(FULL.transactions)}  # as if they had been written
    file._tip_le, file._size = FULL.prevhash_le, len(jobs_file._MAGIC)
    path.parent.mkdir()
    path.write_bytes(jobs_file._MAGIC)
    file.add(saved(1))
    assert restored(path) == []


def test_a_file_that_somebody_removed_or_cut_is_begun_anew(path: Path) -> None:
    file = JobsFile(path, KeptWork)
    file.add(saved(1))
    path.unlink()
    file.add(saved(2))
    assert [each.own.work.work_id for each in restored(path)] == [2]
    os.truncate(path, 50)
    file.add(saved(3))
    assert [each.own.work.work_id for each in restored(path)] == [3]


def test_a_disk_that_fails_is_said_once_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "blocked" / "file"
    path.parent.write_text("")
    file = JobsFile(path, KeptWork)
    for number in (1, 2):
        file.add(saved(number))
    assert caplog.text.count("not kept over a restart") == 1
    path.parent.unlink()
    file.add(saved(3))
    assert [each.own.work.work_id for each in restored(path)] == [3]


def test_transactions_that_cannot_be_read_end_no_thread(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A node's raw bytes are divided here, perhaps before they are checked."""
    stated = stated_of(REPLY)
    reply_template = parse_template(REPLY, REGTEST)
    torn = template_of(replace(stated, block=stated.block[:-1]), reply_template, REGTEST, USUAL_RESERVE, {})
    kept = KeptWorks(path)
    kept.restore(lambda event: None, real_clock)
    for number, template in ((1, reply_template), (2, torn), (3, reply_template)):
        job = build_job(template, PAYOUT, job_id=number, salt=bytes(4))
        kept.add(work_of(job, b"/test/"), template)
    kept.close()
    assert 3 in [each.own.work.work_id for each in restored(path)]
    assert "not kept over a restart: transaction 3 of the node's block cannot be read" in caplog.text


def test_a_later_run_goes_on_with_the_numbers_and_announces_nothing_old(path: Path) -> None:
    run = KeptWorks(path)
    run.restore(lambda event: None, real_clock)
    for number in (1, 2):
        run.add(saved(number).own.work, FULL)
    run.close()
    events: list[Event] = []
    later = KeptWorks(path)
    later.restore(events.append, real_clock)
    assert (later.first_seq, len(later)) == (run.first_seq, 2)
    assert [event.job_id for event in events if isinstance(event, JobRestored)] == [1, 2]
    assert not any(message.announce for message in later.messages(1, has_work=False))
    later.add(replace(make_work(1002), work_id=1002), FULL)
    messages = list(later.messages(3, has_work=True))
    assert [(each.work.work_id, each.announce) for each in messages] == [(1, False), (2, False), (1002, True)]
    assert messages[-1].skip == 2 * SKIP_JOBS
    later.close()


def test_without_a_path_nothing_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    works = KeptWorks(None)
    with caplog.at_level(logging.DEBUG):
        works.restore(lambda event: None, real_clock)
        works.add(make_work(1), FULL)
        works.close()
    assert works.get(1) is not None
    assert works.get(2) is None
    assert not caplog.text


def test_the_oldest_works_are_forgotten() -> None:
    works = KeptWorks(None)
    for number in range(600):
        works.add(make_work(number), FULL)
    assert len(works) == 512
    assert works.get(87) is None


def test_a_job_of_the_work_is_the_same_after_all(path: Path) -> None:
    JobsFile(path, KeptWork).add(saved(7))
    (again,) = restored(path)
    job: Job = build_job(again.template, PAYOUT, job_id=7, salt=bytes(4))
    assert job.merkle_branch == again.own.work.merkle_branch
    assert job.block_hex(bytes(80), bytes(12)) == build_job(FULL, PAYOUT, job_id=7, salt=bytes(4)).block_hex(
        bytes(80), bytes(12)
    )


def test_jobs_share_ranges_of_transactions_in_any_order(path: Path) -> None:
    txs = FULL.transactions
    orders = [txs, txs[1:], (txs[-1], *txs[:-1]), tuple(reversed(txs)), txs[::2], txs, ()]
    works = [saved(number, replace(FULL, transactions=order)) for number, order in enumerate(orders, 1)]
    file = JobsFile(path, KeptWork)
    sizes = [len(file.add(each).data) for each in works]
    assert all(map(same, restored(path), works))
    assert len(restored(path)) == len(works)
    assert sizes[0] > 2 * max(sizes[1:])


def test_a_file_without_ranges_is_read_and_begun_anew(path: Path) -> None:
    file = JobsFile(path, KeptWork)
    works = [saved(1), saved(2)]
    file.add(works[0])
    file._before = ()
    file.add(works[1])
    path.write_bytes(path.read_bytes().replace(jobs_file._MAGIC, b"solominer-jobs/1\n"))
    again = JobsFile(path, KeptWork)
    assert all(map(same, again.load(), works))
    assert again.add(saved(3)).anew
    assert [each.own.work.work_id for each in restored(path)] == [3]


@pytest.mark.parametrize("start", [-1, 1, 1 << 40])
def test_a_range_that_the_job_before_does_not_have_restores_nothing(path: Path, start: int) -> None:
    count = len(FULL.transactions)
    record = jobs_file._Record(time.time(), b"", b"", [], [(start, count)])
    with pytest.raises(LookupError):
        jobs_file._transactions(record, [], FULL.transactions)
