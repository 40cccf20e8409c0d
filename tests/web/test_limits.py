"""Rate limits and lockouts: what is allowed, for how long not, and that memory stays bounded."""

from __future__ import annotations

import pytest

from solominer.web.access import limits
from solominer.web.access.limits import Lockout, RateLimit


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_a_rate() -> None:
    clock = Time()
    limit = RateLimit(2.0, 5, clock)
    assert [limit.take("a") for _ in range(5)] == [0.0] * 5
    assert limit.take("a") == pytest.approx(0.5)
    assert limit.take("b") == 0.0, "each key for itself"
    clock.now += 0.5
    assert [limit.take("a"), limit.take("a") > 0] == [0.0, True]
    clock.now += 1e6
    assert [limit.take("a") for _ in range(5)] == [0.0] * 5, "no more than a burst is saved up"
    assert limit.take("a") > 0


def test_lockouts_double_are_bounded_and_end() -> None:
    clock = Time()
    lockout = Lockout(clock)
    waits = []
    for _ in range(40):
        lockout.failed("a")
        waits.append(lockout.wait_secs("a"))
    assert waits[:8] == [0, 0, 0, 0, 2, 4, 8, 16]
    assert max(waits) == waits[-1] == Lockout.MAX_SECS
    assert lockout.wait_secs("b") == 0
    clock.now += Lockout.MAX_SECS - 1
    assert lockout.wait_secs("a") == pytest.approx(1)
    clock.now += 1
    assert lockout.wait_secs("a") == 0
    lockout.failed("a")
    assert lockout.wait_secs("a") == Lockout.MAX_SECS
    clock.now += Lockout.FORGET_SECS
    lockout.failed("a")
    assert lockout.wait_secs("a") == 0, "after an hour without a failure it begins anew"


def test_a_login_ends_the_count() -> None:
    lockout = Lockout(Time())
    for _ in range(4):
        lockout.failed("a")
    lockout.succeeded("a")
    lockout.failed("a")
    assert lockout.wait_secs("a") == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEYS", 10)
    limit, lockout = RateLimit(1.0, 1, Time()), Lockout(Time())
    for number in range(1000):
        limit.take(str(number))
        lockout.failed(str(number))
    assert len(limit._buckets) == len(lockout._failures) == 10
    assert limit.take("999") > 0, "the newest are kept"
