"""Estimates of the hashes done, from shares, from the smallest hashes, and from the workers' counters.

The first two can be verified by anyone who hashes the headers again; the third is exact if the worker is honest. Every
estimate has an interval, whose coverage `scripts/coverage-intervals` measures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from solominer.chain.target import HASH_SPACE
from solominer.insight.distributions import gamma_quantile, poisson_interval, student_quantile

LEVEL = 0.95
"""Confidence level of the intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its confidence interval; `high` is inf if there is no upper bound."""

    value: float
    low: float
    high: float
    level: float = LEVEL

    def scaled(self, factor: float) -> Estimate:
        """The estimate in other units: hashes to H/s with 1 / secs, H/s to hashes with secs."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor, self.level)


def from_shares(count: int, hashes_per_share: float) -> Estimate:
    """Hashes done, from `count` shares at one target; `hashes_per_share` is `chain.target.expected_hashes(target)`."""
    low, high = poisson_interval(count, LEVEL)
    return Estimate(count * hashes_per_share, low * hashes_per_share, high * hashes_per_share)


def from_weighted_shares(hashes_per_share: Iterable[float]) -> Estimate:
    """Hashes done, from shares at varying targets, given the expected hashes of each.

    The sum is treated as a Poisson count of equal shares with the same mean and variance (Fay and Feuer, 1997). Without
    any share the upper bound is infinite; use `from_shares(0, ...)` if the target is known.
    """
    total = squares = 0.0
    for weight in hashes_per_share:
        total += weight
        squares += weight * weight
    return from_share_sums(total, squares)


def from_share_sums(total: float, squares: float) -> Estimate:
    """As from_weighted_shares, from the sum of the shares' expected hashes and the sum of their squares."""
    if total == 0:
        return Estimate(0.0, 0.0, math.inf)
    unit = squares / total
    low, high = poisson_interval(total / unit, LEVEL)
    return Estimate(total, low * unit, high * unit)


def from_order_statistic(kth_hash: int, k: int) -> Estimate:
    """Hashes done, from the value of the k-th smallest of them (k >= 1, `kth_hash` in 0..2**256-1).

    N hashes are N uniform draws, so N * kth_hash / 2**256 follows a Gamma distribution of shape k. The value is the
    median-unbiased one: too high as often as too low. Raises ValueError where k < 1 or the hash is out of range.
    """
    if k < 1 or not 0 <= kth_hash < HASH_SPACE:
        raise ValueError("k is at least 1 and the hash a 256-bit number")
    share_of_space = (kth_hash + 1) / HASH_SPACE
    tail = (1 - LEVEL) / 2
    value, low, high = (gamma_quantile(k, p) / share_of_space for p in (0.5, tail, 1 - tail))
    return Estimate(value, low, high)


def from_counters(samples: Sequence[tuple[float, float]]) -> Estimate:
    """The sustained rate in H/s, from (hashes, secs) readings of a counter, e.g. one a minute.

    A ratio estimate with Student's t: the count is exact, the interval is that of the sustained rate. Correlated
    readings (a machine that warms up) must be combined into longer ones first, or the interval is too narrow. A single
    reading has the interval 0..inf. Raises ValueError if no time has passed.
    """
    elapsed_secs = sum(secs for _, secs in samples)
    if elapsed_secs <= 0:
        raise ValueError("no time has passed between the readings")
    rate_hps = sum(hashes for hashes, _ in samples) / elapsed_secs
    n = len(samples)
    if n < 2:
        return Estimate(rate_hps, 0.0, math.inf)
    squares = sum((hashes - rate_hps * secs) ** 2 for hashes, secs in samples)
    half = student_quantile(n - 1, (1 + LEVEL) / 2) * math.sqrt(squares * n / (n - 1)) / elapsed_secs
    return Estimate(rate_hps, max(0.0, rate_hps - half), rate_hps + half)
