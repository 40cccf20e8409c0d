"""The tail of the ledger: over the end of an hour, a restart, a crash, and a lost state.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from solominer.records.evidence.state import STATE
from solominer.records.tree import HOUR_SECS, Part, Tree
from solominer.web import tail as module
from solominer.web.tail import Tail
from tests.records.builders import HOUR, Bench, mine


def seqs(entries: list[dict[str, int]]) -> list[int]:
    return [entry["seq"] for entry in entries]


def test_every_entry_comes_once_over_hours_and_restarts(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    tail = Tail(Tree(bench.root))
    assert tail.poll() == [], "no records at all"
    told: list[int] = []
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    assert recorder.flush(30)
    told += seqs(tail.poll())
    for number in range(3):
        at = HOUR + number * HOUR_SECS + 2
        recorder.tick(at)
        mine(bench, recorder, at)
        assert recorder.flush(30)
        told += seqs(tail.poll())
        assert tail.part == Part(HOUR + number * HOUR_SECS)
        assert tail.fold is not None
        assert tail.fold.shares == 20
    recorder.close(at + 100)
    told += seqs(tail.poll())
    assert (tail.part, tail.fold) == (None, None)
    recorder = bench.recorder()
    recorder.open(at + 200)
    assert recorder.flush(30)
    told += seqs(tail.poll())
    assert tail.part == Part(HOUR + 2 * HOUR_SECS, 2)
    assert tail.session is None, "no share since the restart"
    recorder.close(at + 300)
    told += seqs(tail.poll())
    assert told == list(range(1, len(told) + 1))


def test_it_begins_with_what_is_there_and_tells_only_what_is_new(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    mine(bench, recorder, HOUR + 2)
    assert recorder.flush(30)
    tail = Tail(Tree(bench.root))
    assert tail.poll() == []
    assert tail.fold is not None
    assert (tail.fold.shares, tail.session_seq) == (20, 2)
    assert tail.session is not None
    recorder.latency(HOUR + 30, "tip_to_stop", 1.0)
    assert recorder.flush(30)
    assert [entry["kind"] for entry in tail.poll()] == ["latency"]
    recorder.close(HOUR + 40)


def test_without_state_the_tree_is_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    mine(bench, recorder, HOUR + 2)
    assert recorder.flush(30)
    (bench.root / STATE).write_text("{}")
    tail = Tail(Tree(bench.root))
    tail.poll()
    assert tail.part == Part(HOUR)
    recorder.close(HOUR + 40)
    (bench.root / STATE).unlink()
    tail.poll()
    assert tail.part == Part(HOUR), "not scanned again so soon"
    monkeypatch.setattr(module, "SCAN_SECS", 0.0)
    tail.poll()
    assert tail.part is None
    assert tail.state.head is not None


def test_a_ledger_that_became_shorter_is_read_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    mine(bench, recorder, HOUR + 2)
    assert recorder.flush(30)
    tail = Tail(Tree(bench.root))
    tail.poll()
    ledger = bench.root / "ledger/2026/11/21/07/ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().partition(b'"kind":"work"')[0].rpartition(b"\n")[0] + b"\n")
    tail.poll()
    assert tail.fold is not None
    assert tail.fold.shares < 20
    recorder.close(HOUR + 40)
