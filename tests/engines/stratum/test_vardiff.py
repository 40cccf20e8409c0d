"""Vardiff: the incomplete gamma function against tables, the posterior's bounds, and clients simulated."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.stratum.vardiff import (
    HASHES_PER_DIFFICULTY,
    Rule,
    Vardiff,
    bounds,
    rate_interval_hps,
    rounded,
)
from solominer.insight.distributions import gamma_quantile, gamma_tails


def gamma_cdf(shape: float, x: float) -> float:
    return gamma_tails(shape, x)[0]


@pytest.mark.parametrize(
    ("shape", "x", "p"),
    [
        # Chi-squared tables: P(X <= x) for n degrees of freedom is gamma_cdf(n / 2, x / 2).
        (0.5, 3.841458820694124 / 2, 0.95),
        (1.0, 5.991464547107979 / 2, 0.95),
        (5.0, 18.307038053275146 / 2, 0.95),
        (5.0, 3.940299136119154 / 2, 0.05),
        (50.0, 124.34211340400407 / 2, 0.95),
        (500.0, 1074.6794487903 / 2, 0.95),
        (1.0, 1.0, 1 - math.exp(-1)),
        (0.5, 0.5, math.erf(math.sqrt(0.5))),
    ],
)
def test_gamma_against_tables(shape: float, x: float, p: float) -> None:
    assert gamma_cdf(shape, x) == pytest.approx(p, rel=1e-9)
    assert gamma_quantile(shape, p) == pytest.approx(x, rel=1e-8)


@given(st.integers(1, 400), st.floats(0.01, 600))
def test_gamma_of_whole_shapes_is_a_poisson_sum(shape: int, x: float) -> None:
    terms = sum(math.exp(-x + n * math.log(x) - math.lgamma(n + 1)) for n in range(shape))
    assert gamma_cdf(shape, x) == pytest.approx(1 - terms, abs=1e-9)


@given(st.floats(0.5, 2000), st.floats(1e-6, 1 - 1e-6))
def test_quantiles_invert(shape: float, p: float) -> None:
    assert gamma_cdf(shape, gamma_quantile(shape, p)) == pytest.approx(p, rel=1e-6)


def test_gamma_at_the_ends() -> None:
    assert gamma_cdf(3.0, 0.0) == 0.0
    assert gamma_cdf(3.0, math.inf) == 1.0
    assert gamma_cdf(0.5, 1e4) == 1.0


@pytest.mark.parametrize("count", [0, 1, 4, 10, 60])
@pytest.mark.parametrize("confidence", [0.98, 0.999999])
def test_bounds_are_those_of_the_posterior(count: int, confidence: float) -> None:
    low, high = bounds(count, 1.6, confidence)
    assert 1 - gamma_cdf(count + 0.5, 1.6 * low) == pytest.approx(confidence)
    assert gamma_cdf(count + 0.5, high / 1.6) == pytest.approx(confidence)
    assert low < count + 0.5 < high


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.000123456, 0.000123), (0.5, 0.5), (1.4, 1), (999.4, 999), (1234.5, 1230), (987654, 988000), (1e20, 1e20)],
)
def test_round_figures(value: float, shown: float) -> None:
    assert rounded(value) == shown


def simulate(
    vardiff: Vardiff, hps: float, secs: float, rng: random.Random, start: float = 0.0, most: float = math.inf
) -> tuple[int, int]:
    """(shares sent, changes) of a client that works at each difficulty at once, for so long and so many shares."""
    now, sent, changes, tick = start, 0, 0, start + 5
    while True:
        share_at = now + rng.expovariate(hps / HASHES_PER_DIFFICULTY / vardiff.difficulty)
        if min(share_at, tick) >= start + secs or sent >= most:
            return sent, changes
        if share_at < tick:
            now, sent = share_at, sent + 1
            changes += vardiff.share(now)
        else:
            now, tick = tick, tick + 5
            changes += vardiff.tick(now)


def ideal(hps: float, rule: Rule) -> float:
    return hps / HASHES_PER_DIFFICULTY / (rule.shares_per_minute / 60)


@pytest.mark.parametrize("per_minute", [6.0, 18.0])
@pytest.mark.parametrize("off", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("hps", [3.5e5, 1.2e12, 1e14])
def test_it_settles(per_minute: float, off: float, hps: float) -> None:
    """After 120 shares at the latest, whatever time that takes."""
    rule = Rule(shares_per_minute=per_minute, least=1e-9)
    rng = random.Random(f"{per_minute} {off} {hps}")
    good = 0
    for _ in range(100):
        vardiff = Vardiff(rule, ideal(hps, rule) * off, 0.0)
        simulate(vardiff, hps, math.inf, rng, most=120)
        good += 0.5 <= vardiff.difficulty / ideal(hps, rule) <= 2
    assert good >= 95


def test_a_steady_client_is_left_alone() -> None:
    rule = Rule(least=1e-9)
    vardiff = Vardiff(rule, ideal(1e12, rule), 0.0)
    rng = random.Random(9)
    simulate(vardiff, 1e12, 3600.0, rng)
    _, changes = simulate(vardiff, 1e12, 3 * 86_400.0, rng, 3600.0)
    assert changes == 0


def test_a_client_that_becomes_a_hundred_times_faster_is_noticed_soon() -> None:
    rule, rng = Rule(least=1e-9), random.Random(10)
    vardiff = Vardiff(rule, ideal(1e12, rule), 0.0)
    simulate(vardiff, 1e12, 3600.0, rng)
    sent, _ = simulate(vardiff, 1e14, 30.0, rng, 3600.0)
    assert sent < 120
    assert 0.4 <= vardiff.difficulty / ideal(1e14, rule) <= 2.5


def test_steps_and_bounds() -> None:
    rule = Rule(least=10, most=5000)
    vardiff = Vardiff(rule, 1.0, 0.0)
    assert vardiff.difficulty == 10
    while not vardiff.share(1e-3):
        pass
    assert vardiff.difficulty == 160
    for _ in range(100):
        vardiff.share(2e-3)
    assert vardiff.difficulty == 5000
    for second in range(0, 100_000, 10):
        vardiff.tick(float(second))
    assert vardiff.difficulty == 10
    assert Rule(least=10, most=3).within(1e9) == 3


def test_what_was_asked_for_is_not_rounded() -> None:
    assert Vardiff(Rule(), 1024.0, 0.0).difficulty == 1024
    vardiff = Vardiff(Rule(), 1.0, 0.0)
    vardiff.set(12_345.0, 1.0)
    assert vardiff.difficulty == 12_345


def test_time_backwards_and_pauses_add_no_exposure() -> None:
    vardiff = Vardiff(Rule(), 2.0, 100.0)
    vardiff.tick(90.0)
    assert vardiff.exposure == 0
    vardiff.pause(1000.0)
    vardiff.tick(1010.0)
    assert vardiff.exposure == 5


def test_exposure_is_exact_over_changes() -> None:
    vardiff = Vardiff(Rule(), 2.0, 0.0)
    vardiff.set(4.0, 10.0)
    vardiff.set(8.0, 30.0)
    vardiff.tick(38.0)
    assert vardiff.exposure == pytest.approx(10 / 2 + 20 / 4 + 8 / 8)


def test_the_interval_of_a_rate() -> None:
    assert rate_interval_hps(0, 0.0) == (0.0, 0.0, math.inf)
    mean, low, high = rate_interval_hps(0, 10.0)
    assert low == 0 < mean < high
    mean, low, high = rate_interval_hps(1000, 1000.0)
    assert mean == pytest.approx(HASHES_PER_DIFFICULTY, rel=1e-3)
    assert low == pytest.approx(0.939 * HASHES_PER_DIFFICULTY, rel=0.01)
    assert high == pytest.approx(1.063 * HASHES_PER_DIFFICULTY, rel=0.01)


def test_the_interval_holds_as_often_as_it_says() -> None:
    """Over connections whose difficulty changes by what their shares say."""
    rule, rng, held = Rule(least=1e-9), random.Random(11), 0
    for _ in range(200):
        vardiff = Vardiff(rule, ideal(1e12, rule) * 10 ** rng.uniform(-1, 1), 0.0)
        simulate(vardiff, 1e12, 600.0, rng)
        vardiff.tick(600.0)
        _, low, high = rate_interval_hps(vardiff.shares, vardiff.exposure)
        held += low <= 1e12 <= high
    assert 180 <= held <= 199
