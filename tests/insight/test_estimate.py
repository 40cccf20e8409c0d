"""The estimators against simulation with known truth, and the Poisson tails against SciPy's own distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from solominer.insight import distributions, estimate

TRIALS = 4000
UNIT = 2.0**32


def covered(hits: int) -> bool:
    """Whether a 95 % interval covers 93-97 % of the trials."""
    return 0.93 <= hits / TRIALS <= 0.97


@pytest.mark.parametrize("mean", [10, 30, 300])
def test_share_interval_covers(mean: int) -> None:
    rng = np.random.default_rng(mean)
    found = [estimate.from_shares(int(n), UNIT) for n in rng.poisson(mean, TRIALS)]
    assert covered(sum(e.low <= mean * UNIT <= e.high for e in found))


def test_weighted_share_interval_covers() -> None:
    rng = np.random.default_rng(2)
    weights = [1.0, 2.0, 5.0]
    hits = 0
    for _ in range(TRIALS):
        e = estimate.from_weighted_shares([w for w in weights for _ in range(rng.poisson(100 / w))])
        hits += e.low <= 300 <= e.high
    assert covered(hits)


@pytest.mark.parametrize("k", [1, 16])
def test_order_statistic_interval_covers(k: int) -> None:
    rng = np.random.default_rng(k)
    hits = above = 0
    for _ in range(TRIALS):
        hashes = np.sort(rng.random(400))  # real draws, not the Gamma limit that the estimator assumes
        e = estimate.from_order_statistic(int(hashes[k - 1] * 2.0**256), k)
        hits += e.low <= 400 <= e.high
        above += e.value > 400
    assert covered(hits)
    assert 0.47 < above / TRIALS < 0.53, "the value is median-unbiased"


def test_counter_interval_covers() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(TRIALS):
        secs = rng.uniform(30, 90, 20)
        e = estimate.from_counters(list(zip(1e6 * secs * rng.normal(1, 0.05, 20), secs, strict=True)))
        hits += e.low <= 1e6 <= e.high
    assert covered(hits)


def test_equal_weights_are_plain_shares() -> None:
    assert estimate.from_weighted_shares([UNIT] * 7) == estimate.from_shares(7, UNIT)


def test_nothing_seen_still_bounds() -> None:
    none = estimate.from_shares(0, UNIT)
    assert (none.value, none.low) == (0, 0)
    assert 0 < none.high < 5 * UNIT
    assert estimate.from_weighted_shares([]).high == math.inf
    assert estimate.from_counters([(100.0, 10.0)]) == estimate.Estimate(10.0, 0.0, math.inf)


def test_scaled_keeps_the_level() -> None:
    assert estimate.Estimate(2, 1, 3, 0.9).scaled(10) == estimate.Estimate(20, 10, 30, 0.9)


@pytest.mark.parametrize(("kth", "k"), [(5, 0), (-1, 1), (1 << 256, 1)])
def test_order_statistic_refuses(kth: int, k: int) -> None:
    with pytest.raises(ValueError, match="256-bit"):
        estimate.from_order_statistic(kth, k)


def test_refuses_negative_counts_and_no_time() -> None:
    with pytest.raises(ValueError, match="negative"):
        distributions.poisson_interval(-1)
    with pytest.raises(ValueError, match="no time"):
        estimate.from_counters([])


def test_nothing_is_never_more_than_something() -> None:
    assert distributions.chance_at_least(0, 5.0) == 1.0
    assert distributions.chance_at_most(-1, 5.0) == 0.0
