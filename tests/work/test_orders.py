"""Every order is a permutation, both ways agree, and the ones that cannot be are refused with the condition that fails.

Small sizes are walked completely; large ones (to 2**32) are probed by going there and back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.plan.orders import (
    Knuth,
    Order,
    Sequential,
    Shuffled,
    Strided,
    VanDerCorput,
    multiplier_step,
    prime_factors,
)

LARGEST = 1 << 32


def knuth(size: int, draw: int) -> Knuth:
    """A full-period order for any size, of parameters that depend on `draw`."""
    step = multiplier_step(size)
    increment = next(c for c in range(draw % size, draw % size + 2 * size + 2) if _coprime(c, size))
    return Knuth(size, 1 + step * (draw % 1000), increment, draw % size)


def _coprime(c: int, size: int) -> bool:
    return all(c % p for p in prime_factors(size))


KINDS: dict[str, Callable[[int, int], Order]] = {
    "sequential": lambda size, draw: Sequential(size),
    "strided": lambda size, draw: Strided(size, 1 + draw % size),
    "knuth": knuth,
    "van-der-corput": lambda size, draw: VanDerCorput(size),
    "shuffled": Shuffled,
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=250, deadline=None)
@given(size=st.integers(1, 700), draw=st.integers(0, 10**9))
def test_every_chunk_once(kind: str, size: int, draw: int) -> None:
    order = KINDS[kind](size, draw)
    visited = [order.at(i) for i in range(size)]
    assert sorted(visited) == list(range(size))
    assert [order.position_of(chunk) for chunk in visited] == list(range(size))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(size=st.one_of(st.integers(1, LARGEST), st.sampled_from([2**k for k in range(33)])), data=st.data())
def test_there_and_back_in_large_spaces(kind: str, size: int, data: st.DataObject) -> None:
    order = KINDS[kind](size, data.draw(st.integers(0, 10**9)))
    i = data.draw(st.integers(0, size - 1))
    chunk = order.at(i)
    assert 0 <= chunk < size
    assert order.position_of(chunk) == i
    assert order.at(order.position_of(i)) == i


@pytest.mark.parametrize("kind", KINDS)
def test_outside_is_refused(kind: str) -> None:
    order = KINDS[kind](12, 5)
    for outside in (-1, 12):
        with pytest.raises(IndexError):
            order.at(outside)
        with pytest.raises(IndexError):
            order.position_of(outside)


def test_known_orders() -> None:
    assert [Strided(7, 3).at(i) for i in range(7)] == [0, 3, 6, 1, 4, 2, 5]
    assert [VanDerCorput(8).at(i) for i in range(8)] == [0, 4, 2, 6, 1, 5, 3, 7]
    assert [VanDerCorput(6).at(i) for i in range(6)] == [0, 4, 2, 1, 5, 3]
    assert [Knuth(8, 5, 3, 1).at(i) for i in range(8)] == [1, 0, 3, 2, 5, 4, 7, 6]
    assert [Shuffled(8, 1).at(i) for i in range(8)] == [6, 2, 1, 5, 7, 4, 3, 0], "plans of old proofs depend on it"


def test_seeds_differ() -> None:
    orders = {tuple(Shuffled(64, seed).at(i) for i in range(64)) for seed in range(50)}
    assert len(orders) == 50


@pytest.mark.parametrize(
    ("size", "multiplier", "increment", "start", "reason"),
    [
        (16, 5, 2, 0, "condition i"),
        (15, 4, 1, 0, "not a multiple of 5 .*condition ii"),
        (16, 3, 1, 0, "condition iii"),
        (16, 5, 3, 16, "start 16"),
        (16, 5, 3, -1, "start -1"),
    ],
)
def test_broken_knuth_is_refused(size: int, multiplier: int, increment: int, start: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Knuth(size, multiplier, increment, start)


@settings(max_examples=300)
@given(size=st.integers(1, 60), multiplier=st.integers(0, 60), increment=st.integers(0, 60))
def test_the_theorem_is_exactly_the_full_period(size: int, multiplier: int, increment: int) -> None:
    x, seen = 0, set()
    while x not in seen:
        seen.add(x)
        x = (multiplier * x + increment) % size
    full = len(seen) == size and x == 0
    try:
        Knuth(size, multiplier, increment)
    except ValueError:
        assert not full
    else:
        assert full


@pytest.mark.parametrize("stride", [0, -1, 11])
def test_broken_stride_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match="stride"):
        Strided(10, stride)


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed"):
        Shuffled(10, -1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_costs_far_less_than_a_chunk(kind: str) -> None:
    """A chunk takes tens of milliseconds; a step must be lost in that. The bound is loose for slow machines."""
    order = KINDS[kind](1 << 12, 12345)
    start = time.process_time()
    for i in range(2000):
        order.at(i)
    assert (time.process_time() - start) / 2000 < 0.001
