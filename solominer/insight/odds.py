"""The chance of a block, its cost, and luck as a p-value: they depend on the number of hashes, not on their order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from solominer.chain.target import HASH_SPACE
from solominer.insight.distributions import chance_at_least, chance_at_most
from solominer.insight.estimate import LEVEL, Estimate

HASHES_PER_DIFFICULTY = HASH_SPACE / ((0xFFFF << 208) + 1)
HOUR_SECS, DAY_SECS, YEAR_SECS = 3600.0, 86400.0, 31_557_600.0


def hashes_at_difficulty(difficulty: float) -> float:
    """The hashes that a block or share of this difficulty takes on average (about 2**32 times the difficulty)."""
    return difficulty * HASHES_PER_DIFFICULTY


def block_chance(rate_hps: float, difficulty: float, secs: float) -> float:
    """The chance of at least one block in `secs` at a constant rate and difficulty."""
    return -math.expm1(-rate_hps * secs / hashes_at_difficulty(difficulty))


def block_chance_over(rate_hps: float, path: Iterable[tuple[float, float]]) -> float:
    """The chance of at least one block over a path of (secs, difficulty) steps, as from `forecast.difficulty_path`."""
    return -math.expm1(-sum(rate_hps * secs / hashes_at_difficulty(difficulty) for secs, difficulty in path))


def median_wait_secs(rate_hps: float, difficulty: float) -> float:
    """The median time to a block at a constant difficulty; inf at rate 0."""
    return math.log(2) * hashes_at_difficulty(difficulty) / rate_hps if rate_hps > 0 else math.inf


def cost_per_block(rate_hps: float, difficulty: float, power_watts: float, price_per_kwh: float) -> float:
    """The expected cost of electricity per block, in the currency of the price; inf at rate 0.

    The median is 0.69 times this; one block in twenty costs more than three times as much.
    """
    if rate_hps <= 0:
        return math.inf
    return hashes_at_difficulty(difficulty) / rate_hps / HOUR_SECS * power_watts / 1000 * price_per_kwh


@dataclass(frozen=True, slots=True)
class Luck:
    """A count of events against its expectation.

    `as_lucky` is the chance of at least this many, `as_unlucky` the chance of at most this many. `ratio` is what pools
    call luck; it means nothing without these p-values.
    """

    found: int
    expected: float
    as_lucky: float
    as_unlucky: float

    @property
    def ratio(self) -> float:
        """Found over expected; nan if nothing was expected."""
        return self.found / self.expected if self.expected > 0 else math.nan

    @property
    def p_value(self) -> float:
        """Two-sided p-value."""
        return min(1.0, 2 * min(self.as_lucky, self.as_unlucky))


def luck(found: int, expected: float) -> Luck:
    """The luck of a count of shares or blocks; `expected` is hashes done / hashes that each takes on average."""
    return Luck(found, expected, chance_at_least(found, expected), chance_at_most(found, expected))


def expected_best_difficulty(hashes: float) -> Estimate:
    """The expected best share difficulty after `hashes` hashes: the median, with an interval.

    The median, because the mean is infinite (the distribution has a heavy tail).
    """
    unit = hashes / hashes_at_difficulty(1.0)
    tail = (1 - LEVEL) / 2
    return Estimate(unit / math.log(2), unit / -math.log(tail), unit / -math.log(1 - tail))
