"""Works over a restart of the daemon: what is read back, what tears, and what a judge makes of their solutions."""

from __future__ import annotations

import logging
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from solominer.engines.stratum import works_file
from solominer.engines.stratum.jobs import KEEP_SECS
from solominer.engines.stratum.kept_works import SKIP_JOBS, KeptWorks
from solominer.engines.stratum.translate import work_of
from solominer.engines.stratum.works_file import SavedWork, WorksFile
from solominer.work.events import Event, JobRestored
from solominer.work.job import Job, build_job
from solominer.work.template import Template
from tests.engines.stratum.builders import make_work
from tests.fakes import PAYOUT, real_clock
from tests.work.builders import real_template

FULL = real_template()
SEQ = 5 << 56


def saved(work_id: int, template: Template = FULL, age: float = 0.0) -> SavedWork:
    job = build_job(template, PAYOUT, job_id=work_id, salt=bytes(4))
    return SavedWork(time.time() - age, SEQ, work_of(job, b"/test/"), template)


def elsewhere(template: Template) -> Template:
    return replace(template, prevhash_le=bytes([7]) * 32)


def shrunk(template: Template, count: int) -> Template:
    """With the last `count` transactions alone."""
    return replace(template, transactions=template.transactions[-count:])


def restored(path: Path) -> list[SavedWork]:
    return WorksFile(path).load()


def same(one: SavedWork, other: SavedWork) -> bool:
    """All but the places that transactions spend from, which no job needs."""

    def plain(template: Template) -> Template:
        return replace(template, transactions=tuple(tx._replace(depends=()) for tx in template.transactions))

    works = vars(one.work) == vars(other.work)
    return works and one[:2] == other[:2] and plain(one.template) == plain(other.template)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net" / "stratum-works.bin"


def test_what_was_published_comes_back_and_a_later_run_goes_on_with_it(path: Path) -> None:
    works = [saved(1, FULL.without_transactions()), saved(2), saved(3, shrunk(FULL, 1))]
    file = WorksFile(path)
    for each in works:
        file.add(each)
    again = WorksFile(path)
    assert all(map(same, again.load(), works))
    works.append(saved(1003, shrunk(FULL, 2)))
    again.add(works[-1])
    assert len(restored(path)) == 4
    assert all(map(same, restored(path), works))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_each_transaction_is_written_once(path: Path) -> None:
    file = WorksFile(path)
    file.add(saved(1))
    before = path.stat().st_size
    file.add(saved(2))
    assert path.stat().st_size - before < 2000 < before


def test_another_tip_begins_the_file_anew(path: Path) -> None:
    file = WorksFile(path)
    file.add(saved(1))
    file.add(saved(2, elsewhere(FULL)))
    assert [each.work.work_id for each in restored(path)] == [2]


def test_a_file_that_is_too_large_is_begun_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WorksFile(path)
    file.add(saved(1))
    monkeypatch.setattr(works_file, "MOST_BYTES", 1000)
    file.add(saved(2))
    assert [each.work.work_id for each in restored(path)] == [2]


def test_old_works_and_more_than_some_are_not_restored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works_file, "MOST_RESTORED", 3)
    file = WorksFile(path)
    for number, age in enumerate((KEEP_SECS + 1, 90, 60, 30, 0)):
        file.add(saved(number, age=age))
    assert [each.work.work_id for each in restored(path)] == [2, 3, 4]
    monkeypatch.setattr(works_file, "MOST_RESTORED", 9)
    assert [each.work.work_id for each in restored(path)] == [1, 2, 3, 4]


def test_wherever_it_is_torn_what_is_whole_comes_back_and_the_next_work_follows_it(path: Path) -> None:
    file = WorksFile(path)
    file.add(saved(1))
    first = path.stat().st_size
    file.add(saved(2, shrunk(FULL, 1)))
    whole = path.read_bytes()
    for end in range(first, len(whole), 37):
        for torn in (whole[:end], whole[:end] + bytes(len(whole) - end)):  # a power cut may leave zeros
            path.write_bytes(torn)
            again = WorksFile(path)
            assert [each.work.work_id for each in again.load()] == [1]
            again.add(saved(9, shrunk(FULL, 2)))
            assert [each.work.work_id for each in restored(path)] == [1, 9]


@pytest.mark.parametrize("content", [b"", b"{}", b"solominer-stratum-works/3\n", bytes(100)])
def test_what_is_not_ours_is_said_and_replaced(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    file = WorksFile(path)
    assert file.load() == []
    assert "are not restored" in caplog.text
    file.add(saved(4))
    assert [each.work.work_id for each in restored(path)] == [4]


def test_a_record_that_names_a_transaction_which_is_not_there_restores_nothing(path: Path) -> None:
    file = WorksFile(path)
    file._known = {tx.wtxid_le: place for place, tx in enumerate(FULL.transactions)}  # as if they had been written
    file._tip_le, file._size = FULL.prevhash_le, len(works_file._MAGIC)
    path.parent.mkdir()
    path.write_bytes(works_file._MAGIC)
    file.add(saved(1))
    assert restored(path) == []


def test_a_file_that_somebody_removed_or_cut_is_begun_anew(path: Path) -> None:
    file = WorksFile(path)
    file.add(saved(1))
    path.unlink()
    file.add(saved(2))
    assert [each.work.work_id for each in restored(path)] == [2]
    os.truncate(path, 50)
    file.add(saved(3))
    assert [each.work.work_id for each in restored(path)] == [3]


def test_a_disk_that_fails_is_said_once_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "blocked" / "file"
    path.parent.write_text("")
    file = WorksFile(path)
    for number in (1, 2):
        file.add(saved(number))
    assert caplog.text.count("not kept over a restart") == 1
    path.parent.unlink()
    file.add(saved(3))
    assert [each.work.work_id for each in restored(path)] == [3]


def test_a_later_run_goes_on_with_the_numbers_and_announces_nothing_old(path: Path) -> None:
    run = KeptWorks(path)
    run.restore(lambda event: None, real_clock)
    for number in (1, 2):
        run.add(saved(number).work, FULL)
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
    WorksFile(path).add(saved(7))
    (again,) = restored(path)
    job: Job = build_job(again.template, PAYOUT, job_id=7, salt=bytes(4))
    assert job.merkle_branch == again.work.merkle_branch
    assert job.block_hex(bytes(80), bytes(12)) == build_job(FULL, PAYOUT, job_id=7, salt=bytes(4)).block_hex(
        bytes(80), bytes(12)
    )
