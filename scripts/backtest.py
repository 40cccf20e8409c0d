"""Back-test of the forecast models: their forecasts and errors in every past epoch.

An epoch's true timespan follows exactly from the bits of the next one, but the times of its blocks do not: without real
header times they are simulated, so that the simulated epoch ends when the real one did. By default the hash rate is a
random walk conditioned on the known means of this epoch and its two neighbours, as expected of a rate that does not
depend on epochs. With `flat` it is constant within an epoch; that is unrealistic, but it suits the elapsed-time model
best, and so shows how much the comparison depends on the simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from solominer.chain.target import decode_compact, difficulty
from solominer.insight.forecast import (
    INTERVALS,
    MIN_HISTORY,
    MODELS,
    TARGET_SPAN_SECS,
    Epoch,
    EpochProgress,
    forecast_retarget,
)

POINTS = (0.10, 0.25, 0.50, 0.75, 0.90)
_GRID = 64

Observer = Callable[[int], Sequence[EpochProgress]]


@dataclass(frozen=True, slots=True)
class Score:
    """A model's result at a point of the epoch: median and 90th percentile of |forecast / truth - 1|, fraction of
    intervals that contained the truth, and number of forecasts."""

    model: str
    point: float
    median_error: float
    p90_error: float
    coverage: float
    forecasts: int


def epochs_of(nbits: Sequence[int]) -> list[Epoch]:
    """The closed epochs of a chain from the bits of each; one fewer than bits, since the last one is open.

    The timespan is the retarget's: new target / old target times two weeks, exact to the 23 bits of the compact form;
    if a retarget was clamped to a factor of four it is only a bound.
    """
    targets = [decode_compact(bits) for bits in nbits]
    return [Epoch(difficulty(old), TARGET_SPAN_SECS * (new / old)) for old, new in pairwise(targets)]


def drawn(epochs: Sequence[Epoch], rng: np.random.Generator, *, flat: bool = False) -> Observer:
    """An observer that simulates the times of an epoch's blocks (see the top of this file)."""
    logs = np.array([epoch.log_rate for epoch in epochs])

    def observe(index: int) -> list[EpochProgress]:
        path = np.zeros(_GRID) if flat else _conditioned_walk(logs, index, rng)
        return _blocks_along(path, epochs[index], rng)

    return observe


def _conditioned_walk(logs: NDArray[np.float64], index: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A path of the log rate through epoch `index`: a random walk, conditioned on the known means of three epochs.

    The walk's variance is 3/2 of the variance of steps between the epoch means of that time. It is conditioned by
    kriging: shifted by the prior covariance times the means' residuals.
    """
    near = np.diff(logs[max(0, index - 13) : index + 14])
    variance = 1.5 * float(np.var(near)) / _GRID
    known = np.array([i for i in (index - 1, index, index + 1) if 0 <= i < len(logs)])
    size = len(known) * _GRID
    walk = np.cumsum(rng.normal(0, math.sqrt(variance), size))
    steps = np.arange(1, size + 1)
    covariance = variance * np.minimum(steps[:, None], steps[None, :]) + 100.0  # the level itself may be anything
    mean = np.kron(np.eye(len(known)), np.full(_GRID, 1 / _GRID))
    missing = logs[known] - mean @ walk
    walk += covariance @ mean.T @ np.linalg.solve(mean @ covariance @ mean.T, missing)
    here = int(np.flatnonzero(known == index)[0]) * _GRID
    return walk[here : here + _GRID]


def _blocks_along(path: NDArray[np.float64], epoch: Epoch, rng: np.random.Generator) -> list[EpochProgress]:
    """The epoch at each point, with blocks uniform in the work done at a log rate along `path`."""
    work = np.concatenate([[0.0], np.cumsum(np.exp(path))])
    seen, done, progress = 0, 0.0, []
    for point in POINTS:
        blocks = round(point * INTERVALS)
        done += (1 - done) * rng.beta(blocks - seen, INTERVALS - blocks)
        seen = blocks
        share_of_time = float(np.interp(done * work[-1], work, np.linspace(0, 1, len(work))))
        progress.append(EpochProgress(epoch.difficulty, blocks, share_of_time * epoch.span_secs))
    return progress


def observed(epochs: Sequence[Epoch], time_of: Callable[[int], float]) -> Observer:
    """An observer of real header times: `time_of(height)` in seconds."""

    def observe(index: int) -> list[EpochProgress]:
        first = index * (INTERVALS + 1)
        blocks = [round(point * INTERVALS) for point in POINTS]
        return [EpochProgress(epochs[index].difficulty, b, time_of(first + b) - time_of(first)) for b in blocks]

    return observe


def backtest(
    epochs: Sequence[Epoch], indices: Iterable[int], observers: Sequence[Observer], level: float = 0.9
) -> list[Score]:
    """Score every model at every point over the epochs `indices`, once for each observer.

    A forecast uses only closed epochs before its own. Raises ValueError for an index with too little history.
    """
    errors: dict[tuple[str, float], list[tuple[float, bool]]] = {(m, p): [] for m in MODELS for p in POINTS}
    for index in indices:
        if index < MIN_HISTORY:
            raise ValueError(f"epoch {index} has less than {MIN_HISTORY} before it")
        truth = epochs[index].difficulty * TARGET_SPAN_SECS / epochs[index].span_secs
        for observe in observers:
            for point, progress in zip(POINTS, observe(index), strict=True):
                for model in MODELS:
                    forecast = forecast_retarget(epochs[:index], progress, model, level).difficulty
                    hit = forecast.low <= truth <= forecast.high
                    errors[model, point].append((abs(forecast.value / truth - 1), hit))
    return [_score(model, point, results) for (model, point), results in errors.items()]


def _score(model: str, point: float, results: list[tuple[float, bool]]) -> Score:
    sizes = [size for size, _ in results]
    coverage = sum(held for _, held in results) / len(results)
    return Score(model, point, float(np.median(sizes)), float(np.quantile(sizes, 0.9)), coverage, len(results))


def winner(scores: Iterable[Score]) -> str:
    """The model with the smallest sum of median and 90th-percentile errors, each relative to the best at its point."""
    by_point: dict[float, list[Score]] = {}
    for score in scores:
        by_point.setdefault(score.point, []).append(score)
    totals: dict[str, float] = {}
    for rivals in by_point.values():
        best_median, best_p90 = min(s.median_error for s in rivals), min(s.p90_error for s in rivals)
        for s in rivals:
            totals[s.model] = totals.get(s.model, 0.0) + s.median_error / best_median + s.p90_error / best_p90
    return min(totals, key=lambda model: totals[model])
