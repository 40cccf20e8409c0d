"""Each share is handed in once, and acknowledged when it is recorded, however its copies arrive."""

from __future__ import annotations

import pytest

from solominer.engines.cluster import judged as module
from solominer.engines.cluster.judged import REPEAT_SECS, Judged, Key

KEY: Key = (1, bytes(12), 2, 3, 4)


def acknowledged(judged: Judged) -> list[str]:
    return judged.recorded(judged.begin())


@pytest.mark.parametrize("order", [("", "r1"), ("r1", ""), ("r1", "r2"), ("", "r1", "r2")])
def test_one_of_all_copies_is_handed_in_and_all_are_acknowledged(order: tuple[str, ...]) -> None:
    judged = Judged()
    assert [judged.take(KEY, reply, 0.0) for reply in order] == [True] + [False] * (len(order) - 1)
    assert not judged.waits
    judged.judged(KEY)
    assert acknowledged(judged) == [reply for reply in order if reply]
    assert not judged.waits


def test_a_copy_that_comes_when_the_share_is_recorded_is_acknowledged_too() -> None:
    judged = Judged()
    judged.take(KEY, "", 0.0)
    judged.judged(KEY)
    assert acknowledged(judged) == []
    assert not judged.take(KEY, "late", 100.0)
    assert acknowledged(judged) == ["late"]


def test_nothing_is_acknowledged_that_could_not_be_written() -> None:
    judged = Judged()
    judged.take(KEY, "r1", 0.0)
    judged.judged(KEY)
    shares = judged.begin()
    assert not judged.take(KEY, "r2", 0.1)
    judged.again(shares)
    assert judged.waits
    assert acknowledged(judged) == ["r1", "r2"]


def test_one_that_was_dropped_on_the_way_is_handed_in_again() -> None:
    judged = Judged()
    assert judged.take(KEY, "r1", 0.0)
    assert not judged.take(KEY, "r2", REPEAT_SECS - 0.1)
    assert judged.take(KEY, "r3", REPEAT_SECS + 0.1)
    judged.judged(KEY)
    judged.judged(KEY)
    assert acknowledged(judged) == ["r1", "r2", "r3"]


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    judged = Judged()
    keys: list[Key] = [(job, bytes(12), 0, 0, 0) for job in range(3)]
    assert all(judged.take(key, "", 0.0) for key in keys)
    assert [judged.take(key, "", 0.0) for key in reversed(keys)] == [False, False, True]
    judged.judged((99, b"", 0, 0, 0))
    assert not judged.waits
