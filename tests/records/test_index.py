"""The ledger's index: made from the ledger, kept up to date by whoever asks, rebuilt when it is gone or broken."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from solominer.errors import RecordsError
from solominer.records.ledger.index import LedgerIndex
from tests.records.builders import HOUR, Bench, mine


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "data")
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    mine(bench, recorder, HOUR + 1, blocks=2)
    recorder.tick(HOUR + 3600)
    mine(bench, recorder, HOUR + 3700)
    recorder.close(HOUR + 3800)
    return bench


@pytest.fixture
def index(bench: Bench) -> LedgerIndex:
    return LedgerIndex(bench.recorder().tree)


def test_questions_about_blocks_shares_and_errors(index: LedgerIndex) -> None:
    blocks = index.query("blocks")
    assert [entry["kind"] for entry in blocks] == ["block_found", "block_answer", "block_state"] * 3
    assert len(index.query("shares")) == 60
    assert len(index.query("errors", since=HOUR + 3600)) == 2
    assert [entry["seq"] for entry in index.query("shares", limit=2)] == [e["seq"] for e in index.query("shares")][-2:]
    assert len(index.page("block_*", until=HOUR + 3600, limit=9)) == 6
    assert len(index.query("all")) == index.rebuild()


def test_only_what_is_new_is_read(index: LedgerIndex, bench: Bench) -> None:
    assert index.update() > 0
    assert index.update() == 0
    ledger = bench.root / "ledger/2026/11/21/08/ledger.jsonl"
    with ledger.open("ab") as file:
        file.write(b'{"seq":900,"at":1795250000,"up":1,"kind":"error","id":"x"}\n{"seq":901,"at":17')
    assert index.update() == 1
    with ledger.open("ab") as file:
        file.write(b'95250001,"up":1,"kind":"error","id":"y"}\n')
    assert [entry["id"] for entry in index.query("errors", since=1795250000)] == ["x", "y"]


def test_a_broken_index_is_made_again(index: LedgerIndex, bench: Bench) -> None:
    file = bench.root / "index.sqlite"
    file.write_bytes(b"no database" * 200)
    assert len(index.query("shares")) == 60
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert len(index.query("shares")) == 60
    file.unlink()
    assert len(index.query("shares")) == 60


def test_lines_that_retention_deleted_are_left_out(index: LedgerIndex, bench: Bench) -> None:
    index.update()
    (bench.root / "ledger/2026/11/21/07/ledger.jsonl").unlink()
    assert len(index.query("shares")) == 20


def test_other_questions_are_refused(index: LedgerIndex) -> None:
    with pytest.raises(RecordsError, match="unknown query"):
        index.query("secrets")


def test_an_index_that_cannot_be_written_is_an_error(index: LedgerIndex, bench: Bench) -> None:
    (bench.root / "index.sqlite").mkdir()
    with pytest.raises(RecordsError, match=r"index\.sqlite cannot be used"):
        index.update()
