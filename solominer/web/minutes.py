"""The last hour by the minute, from the readings of the workers' counters in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from solominer.insight.estimate import Estimate, from_counters
from solominer.records.report.hour import HourFold

MINUTE_SECS = 60
KEPT = 70
AVERAGED = 5
"""Each minute's rate is the estimate over this many minutes up to it."""

_FEWEST_SECS = 20.0


@dataclass(slots=True)
class Minute:
    """The sums of one minute; `secs` of it are covered by readings."""

    secs: float = 0.0
    hashes: float = 0.0
    expected_shares: float = 0.0
    shares: int = 0
    best_difficulty: float | None = None


class _Sums(NamedTuple):
    """The sums of an hour at a reading."""

    secs: float = 0.0
    hashes: float = 0.0
    expected_shares: float = 0.0


class Minutes:
    """Takes readings in order; keeps 70 minutes."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minute] = {}
        self._fold: HourFold | None = None
        self._sums = _Sums()

    def reading(self, at: float, fold: HourFold) -> None:
        """A `counters` line has just been added to the hour's sums; its hashes are spread over the time they took."""
        counts = fold.counts
        now = _Sums(fold.uptime_secs, counts.counted + counts.credited, counts.expected_shares)
        before = self._sums if fold is self._fold else _Sums()
        self._fold, self._sums = fold, now
        secs = now.secs - before.secs
        if secs <= 0:
            return
        for number, part in _spread(at, secs):
            minute = self._minute(number)
            minute.secs += part
            minute.hashes += (now.hashes - before.hashes) * part / secs
            minute.expected_shares += (now.expected_shares - before.expected_shares) * part / secs

    def share(self, at: float, difficulty: float, *, counting: bool) -> None:
        """A share; those of workers without a counter (`counting` false) are not held against the expectation."""
        minute = self._minute(int(at // MINUTE_SECS))
        minute.shares += counting
        minute.best_difficulty = max(difficulty, minute.best_difficulty or 0.0)

    def estimate(self, number: int) -> Estimate | None:
        """The rate in H/s at minute `number` since the epoch; None if it was not read."""
        if not self._covered(number):
            return None
        samples = []
        for earlier in range(number, number - AVERAGED, -1):
            if not self._covered(earlier):
                break
            samples.append((self._minutes[earlier].hashes, self._minutes[earlier].secs))
        return from_counters(samples)

    def get(self, number: int) -> Minute | None:
        """The sums of a minute since the epoch; None if it was not read."""
        return self._minutes[number] if self._covered(number) else None

    def _covered(self, number: int) -> bool:
        return number in self._minutes and self._minutes[number].secs >= _FEWEST_SECS

    def _minute(self, number: int) -> Minute:
        if number not in self._minutes:
            self._minutes[number] = Minute()
            for old in sorted(self._minutes)[:-KEPT]:
                del self._minutes[old]
        return self._minutes.get(number, Minute())


def _spread(at: float, secs: float) -> Iterator[tuple[int, float]]:
    """The minutes that [at - secs, at] touches, at most KEPT, with the seconds in each."""
    start = at - min(secs, KEPT * MINUTE_SECS)
    while start < at:
        number = int(start // MINUTE_SECS)
        end = min(at, (number + 1) * MINUTE_SECS)
        yield number, end - start
        start = end
