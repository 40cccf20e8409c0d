"""Tails and quantiles in plain floats agree with SciPy's over all that counts, levels and degrees of freedom can be."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special, stats

from solominer.insight import distributions

SHAPES = st.one_of(st.floats(0.5, 50), st.floats(50, 50_000))
CHANCES = st.sampled_from([1e-6, 1e-4, 0.005, 0.025, 0.05, 0.5, 0.95, 0.975, 0.995, 1 - 1e-6])


@given(st.integers(0, 50_000), st.floats(0.01, 50_000))
@example(5, 3.6e10)
@example(1_000_000, 1_001_000.0)
@example(3, 0.0)
def test_poisson_tails(count: int, mean: float) -> None:
    at_least, at_most = distributions.chance_at_least(count, mean), distributions.chance_at_most(count, mean)
    assert at_least == pytest.approx(stats.poisson.sf(count - 1, mean), rel=1e-6, abs=1e-290)
    assert at_most == pytest.approx(stats.poisson.cdf(count, mean), rel=1e-6, abs=1e-290)


@given(SHAPES, CHANCES)
def test_gamma_quantiles(shape: float, chance: float) -> None:
    assert distributions.gamma_quantile(shape, chance) == pytest.approx(special.gammaincinv(shape, chance), rel=1e-9)


@given(st.integers(1, 17) | st.integers(1, 100_000), st.sampled_from([0.6, 0.9, 0.95, 0.975, 0.995, 0.9995]))
@example(199, 0.9995)
@example(200, 0.9995)
def test_student_quantiles(freedom: int, chance: float) -> None:
    assert distributions.student_quantile(freedom, chance) == pytest.approx(special.stdtrit(freedom, chance), rel=1e-7)


@given(st.integers(1, 200_000).flatmap(lambda n: st.tuples(st.integers(0, n // 2), st.just(n))))
@example((500, 1000))
@example((0, 1))
def test_fair_coins(thrown: tuple[int, int]) -> None:
    most, throws = thrown
    exact = special.bdtr(float(most), throws, 0.5)
    assert distributions.chance_of_heads(most, throws) == pytest.approx(exact, rel=1e-6, abs=1e-290)


@given(st.integers(1, 8), st.floats(0.2, 3))
def test_chi_squared(places: int, ratio: float) -> None:
    freedom = 255 * places
    exact = special.chdtrc(freedom, ratio * freedom)
    assert distributions.chance_of_chi_squared(freedom, ratio * freedom) == pytest.approx(exact, rel=1e-6, abs=1e-290)


@given(st.floats(0, 12))
@example(0.1)
def test_kolmogorov_and_normal(y: float) -> None:
    assert distributions.chance_of_distance(y) == pytest.approx(special.kolmogorov(y), rel=1e-9)
    for z in (y, -y):
        assert distributions.chance_beyond(z) == pytest.approx(2 * special.ndtr(-y), rel=1e-9)
