"""Luck, odds and costs: against simulation, against each other, and at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.target import expected_hashes, target_from_difficulty
from solominer.insight import odds


def test_luck_is_a_tail_of_the_simulation() -> None:
    drawn = np.random.default_rng(1).poisson(50, 200_000)
    result = odds.luck(60, 50.0)
    assert result.as_lucky == pytest.approx((drawn >= 60).mean(), abs=0.003)
    assert result.as_unlucky == pytest.approx((drawn <= 60).mean(), abs=0.003)
    assert result.ratio == 1.2
    assert result.p_value == pytest.approx(2 * result.as_lucky)


def test_luck_where_nothing_was_expected() -> None:
    nothing = odds.luck(0, 0.0)
    assert nothing.p_value == 1.0
    assert math.isnan(nothing.ratio)
    assert odds.luck(1, 0.0).as_lucky == 0.0


def test_best_share_median_and_interval() -> None:
    hashes = 2000
    best = 1 / np.random.default_rng(2).random((20_000, hashes)).min(axis=1) / odds.HASHES_PER_DIFFICULTY
    expected = odds.expected_best_difficulty(hashes)
    assert np.median(best) == pytest.approx(expected.value, rel=0.03)
    inside = ((expected.low <= best) & (best <= expected.high)).mean()
    assert 0.94 <= inside <= 0.96


@given(st.floats(1.0, 1e15))
def test_hashes_at_difficulty_is_the_chains(difficulty: float) -> None:
    exact = expected_hashes(target_from_difficulty(difficulty))
    assert odds.hashes_at_difficulty(difficulty) == pytest.approx(exact, rel=1e-9)


def test_block_chance() -> None:
    difficulty = 1e6
    secs = odds.hashes_at_difficulty(difficulty) / 1e9
    assert odds.block_chance(1e9, difficulty, secs) == pytest.approx(1 - math.exp(-1))
    split = [(secs / 2, difficulty), (secs / 2, difficulty)]
    assert odds.block_chance_over(1e9, split) == pytest.approx(odds.block_chance(1e9, difficulty, secs))
    assert odds.block_chance(1e9, difficulty, odds.median_wait_secs(1e9, difficulty)) == pytest.approx(0.5)
    assert odds.block_chance(1.0, 1e14, 1.0) == pytest.approx(1 / odds.hashes_at_difficulty(1e14)), "no cancellation"


def test_cost_per_block() -> None:
    rate = odds.hashes_at_difficulty(1.0) / odds.HOUR_SECS  # one block an hour
    assert odds.cost_per_block(rate, 1.0, 500, 0.20) == pytest.approx(0.10)
    assert odds.cost_per_block(0.0, 1.0, 500, 0.20) == math.inf
    assert odds.median_wait_secs(0.0, 1.0) == math.inf
