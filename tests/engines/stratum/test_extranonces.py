"""Extranonce1: never the same twice at a time; sessions resumed, taken over, expired, kept over a restart."""

from __future__ import annotations

import itertools

import pytest

from solominer.engines.stratum import extranonces
from solominer.engines.stratum.extranonces import ExtranonceTable
from solominer.errors import EngineError
from solominer.work.workers import ExtranonceRange


def make_table(first: int = 0x01000000, count: int = 1 << 24, run: str = "s") -> ExtranonceTable:
    numbers = itertools.count()
    return ExtranonceTable(ExtranonceRange(first, count), lambda: f"{run}{next(numbers)}")


def test_distinct_and_of_the_range() -> None:
    table = make_table(0xFFFFFFFE, 1000)
    values = [table.open("", 0.0)[0].extranonce1 for _ in range(100)]
    assert len(set(values)) == 100
    assert all(value in ExtranonceRange(0xFFFFFFFE, 1000) and len(value) == 4 for value in values)
    assert values[:3] == [b"\xff\xff\xff\xfe", b"\xff\xff\xff\xff", b"\0\0\0\0"]


def test_resume_within_ten_minutes() -> None:
    table = make_table()
    held, _ = table.open("", 0.0)
    table.close(held, 100.0)
    assert table.open(held.session_id, 699.9) == (held, True)
    table.close(held, 700.0)
    again, resumed = table.open(held.session_id, 1300.0)
    assert not resumed
    assert again.session_id != held.session_id
    assert len(table) == 1


def test_an_open_session_is_taken_over() -> None:
    table = make_table()
    held, _ = table.open("", 0.0)
    assert table.open(held.session_id, 5.0) == (held, True)


def test_a_used_value_is_not_dealt_again_until_its_session_is_forgotten() -> None:
    table = make_table(count=256)
    helds = [table.open("", 0.0)[0] for _ in range(256)]
    assert len({held.extranonce1 for held in helds}) == 256
    with pytest.raises(EngineError, match="no extranonce1 is free"):
        table.open("", 0.0)
    table.close(helds[7], 0.0)
    with pytest.raises(EngineError):
        table.open("", 599.0)
    assert table.open("", 600.0)[0].extranonce1 == helds[7].extranonce1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extranonces, "MAX_RESUMABLE", 10)
    table = make_table()
    for number in range(100):
        table.close(table.open("", float(number))[0], float(number))
    assert len(table) == 10


def test_sessions_over_a_restart() -> None:
    table = make_table()
    held, _ = table.open("", 0.0)
    held.difficulties.append((5, 1000.0))
    later = make_table(run="later")
    later.restore([held], 50.0)
    assert later.open("", 50.0)[0].extranonce1 != held.extranonce1
    assert later.open(held.session_id, 60.0) == (held, True)
    elsewhere = make_table(0x02000000)
    elsewhere.restore([held], 50.0)
    moved, resumed = elsewhere.open(held.session_id, 60.0)
    assert resumed
    assert moved.extranonce1 in ExtranonceRange(0x02000000, 1 << 24)
