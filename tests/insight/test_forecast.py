"""Retarget forecasts: exact where the chain leaves nothing open, honest in their intervals on simulated chains, back-
tested on every mainnet epoch. Also the network's hash rate from headers, and the path of difficulties ahead."""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scripts import backtest
from solominer.insight import forecast
from solominer.insight.forecast import INTERVALS, TARGET_SPAN_SECS, Epoch, EpochProgress, forecast_retarget
from solominer.insight.odds import block_chance, hashes_at_difficulty

CSV = Path(__file__).parent.parent / "vectors" / "mainnet_difficulty_epochs.csv"


@pytest.fixture(scope="module")
def mainnet() -> list[Epoch]:
    """All closed mainnet epochs of the vectors."""
    with CSV.open() as file:
        return backtest.epochs_of([int(row["nbits_hex"], 16) for row in csv.DictReader(file)])


def steady(count: int, growth: float = 0.0) -> list[Epoch]:
    """Epochs of a chain whose rate grows by this share from epoch to epoch, without any randomness."""
    return [Epoch(1e12 * math.exp(growth * i), TARGET_SPAN_SECS * math.exp(-growth)) for i in range(count)]


@pytest.mark.parametrize("model", sorted(forecast.MODELS))
def test_a_steady_chain_stays(model: str) -> None:
    progress = EpochProgress(1e12, 1000, 1000 * TARGET_SPAN_SECS / INTERVALS)
    said = forecast_retarget(steady(40), progress, model)
    assert said.model == model
    assert said.blocks_left == 1015
    assert said.difficulty.value == pytest.approx(1e12, rel=1e-6)
    assert said.secs_left.value == pytest.approx(1015 * TARGET_SPAN_SECS / INTERVALS, rel=1e-6)
    assert said.difficulty.low < 1e12 < said.difficulty.high


def test_the_state_space_model_sees_growth() -> None:
    chain = steady(41, 0.05)
    progress = EpochProgress(chain[-1].difficulty, 200, 200 * chain[-1].span_secs / INTERVALS)
    said = forecast_retarget(chain[:-1], progress).difficulty.value
    naive = forecast_retarget(chain[:-1], progress, "elapsed-time").difficulty.value
    assert said > naive, "the rest of the epoch will be faster than its start"


def test_the_interval_narrows_towards_the_retarget(mainnet: list[Epoch]) -> None:
    widths = []
    for point in (0.1, 0.5, 0.9, 0.999):
        blocks = int(point * INTERVALS)
        d = forecast_retarget(mainnet[:300], EpochProgress(mainnet[300].difficulty, blocks, blocks * 600.0)).difficulty
        widths.append((d.high - d.low) / d.value)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.01


@pytest.mark.parametrize("model", sorted(forecast.MODELS))
def test_intervals_hold_on_simulated_chains(model: str) -> None:
    """Chains that are the models' own assumption, a random walk: 90 % intervals hold in 90 % of them."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        logs = np.cumsum(rng.normal(0, 0.08 / math.sqrt(50), 21 * 50)).reshape(21, 50)
        difficulty, epochs = 1.0, []
        for path in logs:
            work = np.exp(path).mean() / difficulty * TARGET_SPAN_SECS / INTERVALS
            epochs.append(Epoch(difficulty, TARGET_SPAN_SECS / work))
            difficulty = difficulty * work
        progress = backtest._blocks_along(logs[-1], epochs[-1], rng)[2]
        said = forecast_retarget(epochs[:-1], progress, model).difficulty
        held += said.low <= difficulty <= said.high
    assert held / 300 > 0.84


def test_the_clamp() -> None:
    slow = forecast_retarget(steady(10), EpochProgress(1e12, 100, 1e9), "elapsed-time")
    fast = forecast_retarget(steady(10), EpochProgress(1e12, 100, 10.0), "elapsed-time")
    assert slow.difficulty.value == 1e12 / 4
    assert fast.difficulty.value == 1e12 * 4


def test_what_answers_when_little_is_known() -> None:
    assert forecast_retarget(steady(3), EpochProgress(1e12, 100, 6e4)).model == "elapsed-time"
    assert forecast_retarget([], EpochProgress(1e12, 100, 6e4)).model == "elapsed-time"
    assert forecast_retarget(steady(8), EpochProgress(1e12, 0, 0.0), "elapsed-time").model == "state-space"
    for history, progress in [
        (steady(3), EpochProgress(1e12, 0, 0.0)),
        (steady(9), EpochProgress(1e12, 5, 0.0)),
        (steady(9), EpochProgress(1e12, 2015, 1e6)),
        (steady(9), EpochProgress(1e12, -1, 1e6)),
    ]:
        with pytest.raises(ValueError, match="block"):
            forecast_retarget(history, progress)


def test_epochs_follow_from_bits(mainnet: list[Epoch]) -> None:
    """Each epoch's difficulty and span give the next one's difficulty, as a retarget does."""
    assert len(mainnet) == 472
    for old, new in pairwise(mainnet):
        assert old.difficulty * TARGET_SPAN_SECS / old.span_secs == pytest.approx(new.difficulty, rel=1e-9)


def test_drawn_epochs_are_in_order_and_within(mainnet: list[Epoch]) -> None:
    for flat in (False, True):
        observe = backtest.drawn(mainnet, np.random.default_rng(1), flat=flat)
        for index in (50, 200, len(mainnet) - 1):
            times = [p.elapsed_secs for p in observe(index)]
            assert times == sorted(times)
            assert 0 < times[0] < times[-1] < mainnet[index].span_secs


def test_observed_epochs_use_the_headers_times(mainnet: list[Epoch]) -> None:
    progress = backtest.observed(mainnet, lambda height: 600.0 * height)(100)
    assert [p.blocks for p in progress] == [202, 504, 1008, 1511, 1814]
    assert all(p.elapsed_secs == 600.0 * p.blocks for p in progress)
    assert progress[0].difficulty == mainnet[100].difficulty


def test_the_default_wins_the_backtest_and_keeps_its_intervals(mainnet: list[Epoch]) -> None:
    observers = [backtest.drawn(mainnet, np.random.default_rng(n)) for n in range(2)]
    scores = backtest.backtest(mainnet, range(50, len(mainnet), 2), observers)
    assert backtest.winner(scores) == forecast.DEFAULT_MODEL
    mine = [s for s in scores if s.model == forecast.DEFAULT_MODEL]
    assert [s.point for s in mine] == list(backtest.POINTS)
    assert all(0.85 <= s.coverage <= 0.95 for s in mine)
    assert mine[0].median_error < 0.06
    assert mine[-1].median_error < 0.01


def test_the_backtest_wants_history(mainnet: list[Epoch]) -> None:
    with pytest.raises(ValueError, match="epoch 3 has less than 8"):
        backtest.backtest(mainnet, [3], [])


def test_a_path_covers_its_horizon(mainnet: list[Epoch]) -> None:
    year = 31_557_600.0
    progress = EpochProgress(mainnet[-1].difficulty, 1000, 6e5)
    path = forecast.difficulty_path(mainnet[:-1], progress, year)
    assert sum(step.secs for step in path) == pytest.approx(year)
    assert path[0].difficulty.low == path[0].difficulty.high == progress.difficulty
    widths = [step.difficulty.high / step.difficulty.low for step in path]
    assert widths == sorted(widths)
    assert 24 <= len(path) <= 30
    chance = forecast.block_chance_ahead(1e12, path)
    assert chance.low < chance.value < chance.high
    assert chance.value == pytest.approx(block_chance(1e12, progress.difficulty, year), rel=0.5)
    assert forecast.block_chance_ahead(1e12, path[:1]).low == block_chance(1e12, progress.difficulty, path[0].secs)


def test_short_paths(mainnet: list[Epoch]) -> None:
    progress = EpochProgress(mainnet[-1].difficulty, 0, 0.0)
    assert [step.secs for step in forecast.difficulty_path(mainnet[:-1], progress, 3600.0)] == [3600.0]
    few = forecast.difficulty_path(mainnet[-3:-1], EpochProgress(1e12, 100, 6e4), 5e6)
    assert sum(step.secs for step in few) == pytest.approx(5e6)
    assert few[1].difficulty == few[-1].difficulty


def test_network_rate_covers() -> None:
    rng = np.random.default_rng(9)
    day, difficulty, hits = 86400.0, 1e13, 0
    truth = hashes_at_difficulty(difficulty) / 600
    for _ in range(2000):
        times = np.cumsum(rng.exponential(600, 400))
        now = float(times[150]) + 0.5 * day
        rate = forecast.network_rate([(float(t), difficulty) for t in times], now, day)
        hits += rate.low <= truth <= rate.high
    assert 0.93 <= hits / 2000 <= 0.97
