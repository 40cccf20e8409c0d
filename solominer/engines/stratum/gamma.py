"""The regularized incomplete gamma function and its inverse, for the Gamma posteriors of share counts.

Series and continued fraction as in Numerical Recipes 6.2 and Abramowitz and Stegun 6.5; tests compare with tables.
"""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300
_PRECISION = 1e-14
_MAX_TERMS = 100_000


def gamma_cdf(shape: float, x: float) -> float:
    """P(X <= x) for X ~ Gamma(shape, 1); shape > 0."""
    if x <= 0:
        return 0.0
    if x == math.inf:
        return 1.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    return front * _series(shape, x) if x < shape + 1 else 1.0 - front * _fraction(shape, x)


def _series(shape: float, x: float) -> float:
    term = total = 1.0 / shape
    for n in range(1, _MAX_TERMS):
        term *= x / (shape + n)
        total += term
        if term < total * _PRECISION:
            break
    return total


def _fraction(shape: float, x: float) -> float:
    """Lentz's method for the upper tail."""
    b = x + 1.0 - shape
    c, d = 1.0 / _TINY, 1.0 / b
    value = d
    for i in range(1, _MAX_TERMS):
        an = -i * (i - shape)
        b += 2.0
        d = 1.0 / (an * d + b or _TINY)
        c = b + an / c or _TINY
        value *= d * c
        if abs(d * c - 1.0) < _PRECISION:
            break
    return value


@lru_cache(maxsize=4096)
def gamma_quantile(shape: float, p: float) -> float:
    """The x with P(X <= x) = p for X ~ Gamma(shape, 1), by bisection; 0 < p < 1."""
    low, high = 0.0, max(1.0, shape)
    while gamma_cdf(shape, high) < p:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if gamma_cdf(shape, middle) < p else (low, middle)
    return (low + high) / 2
