"""The chance of a block, and what one costs. It depends on the hashes done and on nothing else: no order helps.

Luck is said as what it is: how often chance alone does as well or better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from solominer.chain.target import HASH_SPACE
from solominer.insight.distributions import chance_at_least, chance_at_most
from solominer.insight.estimate import Estimate

HASHES_PER_DIFFICULTY = HASH_SPACE / ((0xFFFF << 208) + 1)
HOUR_SECS, DAY_SECS, YEAR_SECS = 3600.0, 86400.0, 31_557_600.0


def hashes_at_difficulty(difficulty: float) -> float:
    """How many hashes a block or share of this difficulty takes on average (about 2**32 times the difficulty)."""
    return difficulty * HASHES_PER_DIFFICULTY


def block_chance(rate_hps: float, difficulty: float, secs: float) -> float:
    """The chance of at least one block in `secs` at a constant rate and difficulty."""
    return -math.expm1(-rate_hps * secs / hashes_at_difficulty(difficulty))


def block_chance_over(rate_hps: float, path: Iterable[tuple[float, float]]) -> float:
    """The chance of at least one block over a path of (secs, difficulty) steps, as `forecast.difficulty_path` gives."""
    return -math.expm1(-expected_blocks(rate_hps, path))


def expected_blocks(rate_hps: float, path: Iterable[tuple[float, float]]) -> float:
    """The mean number of blocks over a path of (secs, difficulty) steps."""
    return sum(rate_hps * secs / hashes_at_difficulty(difficulty) for secs, difficulty in path)


def median_wait_secs(rate_hps: float, difficulty: float) -> float:
    """The time in which a block comes with chance one half, were the difficulty to stay; inf at no rate."""
    return math.log(2) * hashes_at_difficulty(difficulty) / rate_hps if rate_hps > 0 else math.inf


def cost_per_block(rate_hps: float, difficulty: float, power_watts: float, price_per_kwh: float) -> float:
    """The expected cost of electricity for one block, in the price's currency; inf at no rate.

    Half of all runs of bad luck cost more than 0.69 times this, and one in twenty more than three times.
    """
    if rate_hps <= 0:
        return math.inf
    return hashes_at_difficulty(difficulty) / rate_hps / HOUR_SECS * power_watts / 1000 * price_per_kwh


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
