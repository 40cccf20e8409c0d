"""Forecasts of difficulty by three models (compared by `scripts/backtest-forecast`).

The models work on the logarithm of the network's hash rate, with time in epochs. Each closed epoch and the running one
give one observation (difficulty over timespan). A model predicts the rate for the rest of the epoch and its variance;
the randomness of the blocks is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from solominer.insight.distributions import student_quantile
from solominer.insight.estimate import Estimate, from_weighted_shares
from solominer.insight.odds import block_chance_over, hashes_at_difficulty

EPOCH_BLOCKS = 2016
INTERVALS = EPOCH_BLOCKS - 1  # a retarget measures from an epoch's first block to its last
TARGET_SPAN_SECS = 1_209_600
CLAMP = 4
DEFAULT_MODEL = "state-space"
HISTORY = 60  # closed epochs that the models use, a little over two years
MIN_HISTORY = 8
HALF_LIFE = 0.25  # of the exponential weights, in epochs

# Changes of the hash rate have heavier tails than the normal distribution, and their variance is itself an estimate:
# intervals use Student's distribution with this many degrees of freedom.
_TAIL_FREEDOM = 10

# (variance of the level's steps, variance of the growth's steps, fraction of the growth left after an epoch)
_GRID = [
    (q, r, kept)
    for q in (1e-4, 4e-4, 1.6e-3, 6.4e-3, 2e-2)
    for r in (1e-5, 1e-4, 4e-4, 1.6e-3)
    for kept in (0.999, 0.7, 0.4)
]


@dataclass(frozen=True, slots=True)
class Epoch:
    """A closed difficulty epoch: its difficulty, and the time from its first block to its last."""

    difficulty: float
    span_secs: float

    @property
    def log_rate(self) -> float:
        """Logarithm of its mean hash rate, in difficulty per second."""
        return math.log(self.difficulty * INTERVALS / self.span_secs)


@dataclass(frozen=True, slots=True)
class EpochProgress:
    """The running epoch: its difficulty, blocks found after its first one (0..2014), and the time those took."""

    difficulty: float
    blocks: int
    elapsed_secs: float

    @property
    def share(self) -> float:
        """The fraction of the epoch's 2015 intervals that is over."""
        return self.blocks / INTERVALS

    @property
    def log_rate(self) -> float:
        """Logarithm of the hash rate so far. Raises ValueError before the second block."""
        return math.log(self.difficulty * self.blocks / self.elapsed_secs)


@dataclass(frozen=True, slots=True)
class RetargetForecast:
    """The time to the next retarget (`secs_left` to the epoch's last block) and the difficulty that it sets."""

    model: str
    blocks_left: int
    secs_left: Estimate
    difficulty: Estimate


@dataclass(frozen=True, slots=True)
class PathStep:
    """A future period at one difficulty."""

    secs: float
    difficulty: Estimate


Model = Callable[[Sequence[Epoch], EpochProgress], tuple[float, float]]


def forecast_retarget(
    history: Sequence[Epoch], progress: EpochProgress, model: str = DEFAULT_MODEL, level: float = 0.9
) -> RetargetForecast:
    """The next retarget, from closed epochs (oldest first) and the running one.

    With fewer than eight closed epochs the elapsed-time model is used, before an epoch's second block the state-space
    model (see `model` of the result). Raises ValueError if neither can be, or if `progress` is invalid.
    """
    if not 0 <= progress.blocks < INTERVALS or (progress.blocks and progress.elapsed_secs <= 0):
        raise ValueError("an epoch in progress has 0 to 2014 blocks after its first one, and they took time")
    if len(history) < MIN_HISTORY:
        model = "elapsed-time"
        if not progress.blocks:
            raise ValueError(f"fewer than {MIN_HISTORY} closed epochs, and no second block in the running one")
    elif not progress.blocks:
        model = DEFAULT_MODEL
    log_rate, variance = MODELS[model](history[-HISTORY:], progress)
    blocks_left = INTERVALS - progress.blocks
    left = _around(progress.difficulty * blocks_left / math.exp(log_rate), variance + 1 / blocks_left, level)
    value, high, low = (retarget(progress, progress.elapsed_secs + secs) for secs in (left.value, left.low, left.high))
    return RetargetForecast(model, blocks_left, left, Estimate(value, low, high, level))


def retarget(progress: EpochProgress, span_secs: float) -> float:
    """The difficulty after an epoch of this timespan (CalculateNextWorkRequired, src/pow.cpp)."""
    clamped_secs = min(max(span_secs, TARGET_SPAN_SECS / CLAMP), TARGET_SPAN_SECS * CLAMP)
    return progress.difficulty * TARGET_SPAN_SECS / clamped_secs


def _around(median: float, variance: float, level: float) -> Estimate:
    """A Student interval on the logarithmic scale around a median."""
    width = student_quantile(_TAIL_FREEDOM, (1 + level) / 2) * math.sqrt(variance)
    return Estimate(median, median * math.exp(-width), median * math.exp(width), level)


def elapsed_time(history: Sequence[Epoch], progress: EpochProgress) -> tuple[float, float]:
    """The rate so far continues: the usual estimate. Its error grows with the drift, which it ignores."""
    return _weighted([(progress.share / 2, progress.share, progress.blocks, 1.0)], history, progress)


def exponential(history: Sequence[Epoch], progress: EpochProgress) -> tuple[float, float]:
    """The mean of the rate so far and of past epochs, weighted by blocks, with a half-life of a quarter of an epoch."""
    spans = [(progress.share / 2, progress.share, progress.blocks)]
    spans += [(-age - 0.5, 1.0, INTERVALS) for age in range(min(MIN_HISTORY, len(history)))]
    weights = [blocks * 2 ** (-(progress.share - centre) / HALF_LIFE) for centre, _, blocks in spans]
    parts = [(*span, weight / sum(weights)) for span, weight in zip(spans, weights, strict=True)]
    return _weighted(parts, history, progress)


def state_space(history: Sequence[Epoch], progress: EpochProgress) -> tuple[float, float]:
    """A Kalman filter of a local level with damped growth, its variances fitted to the history."""
    return _fit(history, progress).ahead((1 + progress.share) / 2)


MODELS: dict[str, Model] = {"elapsed-time": elapsed_time, "exponential": exponential, "state-space": state_space}


def _weighted(
    parts: Sequence[tuple[float, float, int, float]], history: Sequence[Epoch], progress: EpochProgress
) -> tuple[float, float]:
    """(log rate, variance of its error) of a weighted mean of observations (centre, length, blocks, weight).

    The first part is the running epoch, the others the closed ones, newest first. The error is that of a random walk
    with drift, both estimated from the history's steps: since the weights and the target's -1 sum to zero, its variance
    depends only on the mean distances between the periods: |a - b| between centres, a third of the length within one.
    """
    logs = [progress.log_rate, *(epoch.log_rate for epoch in reversed(history[-MIN_HISTORY:]))]
    estimate = sum(weight * log for (*_, weight), log in zip(parts, logs, strict=False))
    drift, step_variance = _steps(history)
    spans = [*((c, length, w) for c, length, _, w in parts), ((1 + progress.share) / 2, 1 - progress.share, -1.0)]
    walk = sum(
        wa * wb * (la / 3 if a == b else abs(ca - cb))
        for a, (ca, la, wa) in enumerate(spans)
        for b, (cb, _, wb) in enumerate(spans)
    )
    bias = drift * sum(c * w for c, _, w in spans)
    return estimate, -step_variance / 2 * walk + bias * bias + sum(w * w / blocks for *_, blocks, w in parts)


def _steps(history: Sequence[Epoch]) -> tuple[float, float]:
    """(mean, variance) of the walk's step per epoch over the last year; epoch averages have 2/3 of the variance."""
    steps = [new.log_rate - old.log_rate for old, new in pairwise(history[-27:])]
    if len(steps) < 2:
        return 0.05, 0.01  # of the order of what the network did in its first fifteen years
    drift = sum(steps) / len(steps)
    variance = sum((step - drift) ** 2 for step in steps) / (len(steps) - 1)
    return drift, max(1.5 * (variance - 2 / INTERVALS), 1e-5)


class _Filter:
    """A Kalman filter of (level, growth) of the log rate over time in epochs, at any spacing."""

    def __init__(self, at: float, log_rate: float, parameters: tuple[float, float, float]) -> None:
        self.parameters = parameters
        self.at, self.level, self.growth = at, log_rate, 0.0
        self.p_level, self.p_both, self.p_growth = 0.05, 0.0, 0.02
        self.log_likelihood = 0.0

    def _moved(self, to: float) -> tuple[float, float, float, float, float]:
        """(level, growth, level variance, covariance, growth variance) predicted for a time."""
        q, r, kept = self.parameters
        dt = to - self.at
        left = kept**dt
        gain = (1 - left) / -math.log(kept)
        return (
            self.level + gain * self.growth,
            self.growth * left,
            self.p_level + 2 * gain * self.p_both + gain * gain * self.p_growth + q * dt + r * dt**3 / 3,
            (self.p_both + gain * self.p_growth) * left + r * dt * dt / 2,
            self.p_growth * left * left + r * dt,
        )

    def observe(self, at: float, log_rate: float, noise: float) -> None:
        """Update with an observation of variance `noise` at a later time."""
        level, growth, p_level, p_both, p_growth = self._moved(at)
        spread, surprise = p_level + noise, log_rate - level
        self.log_likelihood -= (math.log(spread) + surprise * surprise / spread) / 2
        for_level, for_growth = p_level / spread, p_both / spread
        self.at, self.level, self.growth = at, level + for_level * surprise, growth + for_growth * surprise
        self.p_level = p_level * (1 - for_level)
        self.p_both = p_both * (1 - for_level)
        self.p_growth = p_growth - for_growth * p_both

    def ahead(self, to: float) -> tuple[float, float]:
        """(log rate, variance) expected at a later time."""
        level, _, p_level, _, _ = self._moved(to)
        return level, p_level


def _fit(history: Sequence[Epoch], progress: EpochProgress) -> _Filter:
    """The filter with the most likely parameters, run over history and the running epoch, which starts at time 0."""
    filtered = _run(history, _most_likely(tuple(history)))
    if progress.blocks:
        filtered.observe(progress.share / 2, progress.log_rate, 1 / progress.blocks)
    return filtered


@lru_cache(maxsize=2)
def _most_likely(history: tuple[Epoch, ...]) -> tuple[float, float, float]:
    """The grid's most likely parameters; cached, since the history stays the same for two weeks."""
    return max(_GRID, key=lambda parameters: _run(history, parameters).log_likelihood)


def _run(history: Sequence[Epoch], parameters: tuple[float, float, float]) -> _Filter:
    count = len(history)
    filtered = _Filter(0.5 - count, history[0].log_rate, parameters)
    for i in range(1, count):
        filtered.observe(i + 0.5 - count, history[i].log_rate, 1 / INTERVALS)
    return filtered


def difficulty_path(history: Sequence[Epoch], progress: EpochProgress, horizon_secs: float) -> list[PathStep]:
    """The difficulties up to the horizon: the rest of this epoch, the next retarget, then the state-space model's.

    With fewer than eight closed epochs the next retarget's difficulty is assumed to stay. Raises ValueError as
    `forecast_retarget`.
    """
    following = forecast_retarget(history, progress)
    level = following.difficulty.level
    known = Estimate(progress.difficulty, progress.difficulty, progress.difficulty, level)
    steps = [PathStep(following.secs_left.value, known)]
    filtered = _fit(history[-HISTORY:], progress) if len(history) >= MIN_HISTORY else None
    difficulty, epoch, total = following.difficulty, 1, steps[0].secs
    while total < horizon_secs:
        successor = difficulty
        if filtered:  # an epoch's difficulty follows from the rate in the one before
            log_rate, variance = filtered.ahead(epoch + 0.5)
            successor = _around(math.exp(log_rate) * TARGET_SPAN_SECS / INTERVALS, variance + 1 / INTERVALS, level)
        secs = TARGET_SPAN_SECS * difficulty.value / successor.value
        steps.append(PathStep(secs, difficulty))
        difficulty, epoch, total = successor, epoch + 1, total + secs
    steps[-1] = PathStep(steps[-1].secs - (total - horizon_secs), steps[-1].difficulty)
    return steps


def block_chance_ahead(rate_hps: float, path: Sequence[PathStep]) -> Estimate:
    """The chance of at least one block along a path; low and high are those at the path's upper and lower bounds."""
    value, low, high = (
        block_chance_over(rate_hps, [(step.secs, getattr(step.difficulty, bound)) for step in path])
        for bound in ("value", "high", "low")
    )
    return Estimate(value, low, high, path[0].difficulty.level)


def network_rate(blocks: Sequence[tuple[float, float]], now_secs: float, window_secs: float) -> Estimate:
    """The network's hash rate in H/s over a window up to now, from (header time, difficulty) of the blocks in it."""
    recent = [hashes_at_difficulty(d) for time_secs, d in blocks if now_secs - window_secs < time_secs <= now_secs]
    return from_weighted_shares(recent).scaled(1 / window_secs)
