"""The saver: a block is outside the process before it is sent, nothing waits for a bad disk, nothing is given up."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from solominer.errors import JournalFailed
from solominer.records.journal import saver as saver_module
from solominer.records.journal.journal import Journal, Written
from solominer.records.journal.saver import PUT_SECS, BlockSaver
from solominer.records.ledger.open_hour import OpenHour
from solominer.records.tree import Part, Tree
from solominer.work.actions import Severity
from solominer.work.found import FoundBlock
from tests.records.builders import HOUR, make_block, make_job


class WeakJournal(Journal):
    """A journal whose disk a test can hang or break."""

    def __init__(self, folder: Path) -> None:
        hours = OpenHour()
        hours.switch(Part.at(HOUR))
        super().__init__(Tree(folder), hours)
        self.free = threading.Event()
        self.free.set()
        self.broken = 0
        self.done: list[str] = []

    def put(self, block: FoundBlock) -> Written:
        self.free.wait()
        self.done.append("put")
        return super().put(block)

    def save(self, block: FoundBlock) -> Written:
        if self.broken:
            self.broken -= 1
            raise JournalFailed("no room", "make room")
        self.done.append("save")
        return super().save(block)


@pytest.fixture
def journal(tmp_path: Path) -> WeakJournal:
    return WeakJournal(tmp_path / "regtest")


@pytest.fixture
def block() -> FoundBlock:
    return make_block(make_job())


async def test_after_waiting_the_block_is_outside_this_process(journal: WeakJournal, block: FoundBlock) -> None:
    saver = BlockSaver(journal, lambda *_: None)
    saver.begin(block)
    await saver.until_put(block.hash_le)
    [path] = journal._tree.root.rglob("block.hex")
    assert path.read_text().strip() == block.block_hex


async def test_a_disk_that_hangs_costs_a_submission_no_more_than_the_limit(
    journal: WeakJournal, block: FoundBlock
) -> None:
    journal.free.clear()
    saver = BlockSaver(journal, lambda *_: None)
    saver.begin(block)
    started = time.monotonic()
    await saver.until_put(block.hash_le)
    assert PUT_SECS * 0.9 <= time.monotonic() - started < 20 * PUT_SECS
    journal.free.set()


async def test_the_durable_copy_comes_last_however_long_the_first_one_takes(
    journal: WeakJournal, block: FoundBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "PUT_SECS", 0.001)
    journal.free.clear()
    saver = BlockSaver(journal, lambda *_: None)
    saver.begin(block)
    saved = asyncio.create_task(saver.save(block))
    await saver.until_put(block.hash_le)
    threading.Timer(0.1, journal.free.set).start()
    assert await saved
    assert journal.done == ["put", "save"]


async def test_a_block_that_no_disk_took_is_tried_again_and_told_of(
    journal: WeakJournal, block: FoundBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "AGAIN_SECS", 0.001)
    alarms: list[tuple[Severity, str]] = []
    saver = BlockSaver(journal, lambda severity, code, message, todo: alarms.append((severity, code)))
    journal.broken = 3
    saver.begin(block)
    assert not await saver.save(block)
    async with asyncio.timeout(10):
        await saver.save_later(block)
    assert alarms == [(Severity.CRITICAL, "journal-failed")] * 3
    assert await saver.kept_hex(block.hash_le) == block.block_hex


async def test_a_block_that_is_nowhere_has_no_hex(journal: WeakJournal, block: FoundBlock) -> None:
    assert await BlockSaver(journal, lambda *_: None).kept_hex(block.hash_le) == ""


async def test_at_the_end_a_block_that_waits_for_its_next_try_is_saved_at_once(
    journal: WeakJournal, block: FoundBlock
) -> None:
    saver = BlockSaver(journal, lambda *_: None)
    journal.broken = 2
    saver.begin(block)
    assert not await saver.save(block)
    later = asyncio.create_task(saver.save_later(block))
    await saver.save_rest()
    assert await saver.kept_hex(block.hash_le) == "", "the disk is still full"
    await saver.save_rest()
    assert await saver.kept_hex(block.hash_le) == block.block_hex
    journal.done.clear()
    await saver.save_rest()
    assert journal.done == []
    later.cancel()
