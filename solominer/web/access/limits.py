"""Limits of how often something may happen, for each key (an address, a token). Memory is bounded: of too many keys,
the one that has been quiet longest is forgotten. `clock` is monotonic, in seconds.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

MAX_KEYS = 10_000

_Value = TypeVar("_Value")


class RateLimit:
    """A token bucket for each key: `burst` at once, and `per_sec` in the long run."""

    def __init__(self, per_sec: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_sec, self._burst, self._clock = per_sec, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one; returns 0, or the seconds until there is one to take."""
        now = self._clock()
        left, then = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_sec)
        wait_secs = 0.0 if left >= 1 else (1 - left) / self._per_sec
        _put(self._buckets, key, (left if wait_secs else left - 1, now))
        return wait_secs


class Lockout:
    """After FREE failures each further one locks its key out for twice as long, until it has been quiet for an hour."""

    FREE = 5
    FIRST_SECS = 2.0
    MAX_SECS = 900.0
    FORGET_SECS = 3600.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_secs(self, key: str) -> float:
        """Seconds for which this key is locked out; 0 if it is not."""
        count, last = self._failures.get(key, (0, 0.0))
        if count < self.FREE:
            return 0.0
        locked_secs = min(self.FIRST_SECS * 2.0 ** min(count - self.FREE, 30), self.MAX_SECS)
        return max(0.0, last + locked_secs - self._clock())

    def failed(self, key: str) -> None:
        """Count a failure."""
        now = self._clock()
        count, last = self._failures.pop(key, (0, now))
        _put(self._failures, key, (1 if now - last >= self.FORGET_SECS else count + 1, now))

    def succeeded(self, key: str) -> None:
        """Forget the failures of this key."""
        self._failures.pop(key, None)


def _put(entries: OrderedDict[str, _Value], key: str, value: _Value) -> None:
    entries[key] = value
    if len(entries) > MAX_KEYS:
        entries.popitem(last=False)
