"""Luck, said as what it is: how often chance alone does as well or better."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solominer.insight.estimate import Estimate
from solominer.insight.odds import hashes_at_difficulty
from solominer.insight.poisson import chance_at_least, chance_at_most


@dataclass(frozen=True, slots=True)
class Luck:
    """`found` events where `expected` were to be expected.

    `as_lucky` is the chance to find at least this many, `as_unlucky` the chance to find at most this many; both are
    plain p-values. `ratio` (found / expected) is what others call luck; it says nothing without the p-values.
    """

    found: int
    expected: float
    as_lucky: float
    as_unlucky: float

    @property
    def ratio(self) -> float:
        """Found over expected; nan where nothing was to be expected."""
        return self.found / self.expected if self.expected > 0 else math.nan

    @property
    def p_value(self) -> float:
        """Two-sided: how often chance strays at least this far, either way."""
        return min(1.0, 2 * min(self.as_lucky, self.as_unlucky))


def luck(found: int, expected: float) -> Luck:
    """Judge a count of shares or blocks against its expectation (hashes done / hashes each takes on average)."""
    return Luck(found, expected, chance_at_least(found, expected), chance_at_most(found, expected))


def expected_best_difficulty(hashes: float, level: float = 0.95) -> Estimate:
    """The best share's difficulty to be expected after so many hashes: median, and where it lies with chance `level`.

    The mean is infinite (the best share of an hour has a heavy tail), so it is the median that is stated.
    """
    unit = hashes / hashes_at_difficulty(1.0)
    tail = (1 - level) / 2
    return Estimate(unit / math.log(2), unit / -math.log(tail), unit / -math.log(1 - tail), level)


def chance_of_best(difficulty: float, hashes: float) -> float:
    """The chance that so many hashes bring a share of at least this difficulty."""
    return -math.expm1(-hashes / hashes_at_difficulty(difficulty))
