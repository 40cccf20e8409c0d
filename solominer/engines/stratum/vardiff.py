"""Vardiff by statistics: a client's difficulty follows what its shares prove of its hash rate.

While a client works at difficulty D, its shares arrive as a Poisson process of rate lambda / D, where lambda is its
hash rate in units of 2**32 hashes a second. With the exposure S, the sum of dt / D, n shares leave a posterior
lambda ~ Gamma(n + 1/2, S): exact over changes of difficulty, and over silence, which adds exposure without shares.
The ideal difficulty is lambda / r for a wanted rate of r shares a second. It changes when the posterior is sure that
the ideal is far away: from a long memory, and from a short one, which notices sudden changes, with more confidence
(at 99.95 % it moved a steady client 1.6 times a day, since it is asked at every share; docs/stratum.md).

A share counts only if its hash meets the difficulty in force, whatever its own job's was: so shares that were on their
way when the difficulty was raised do not distort the count. Times are monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from solominer.insight.distributions import gamma_quantile, poisson_interval

HASHES_PER_DIFFICULTY = 2.0**32
SHORT_MEMORY, LONG_MEMORY = 10, 60
FEWEST_TO_RAISE = 4


@dataclass(frozen=True, slots=True)
class Rule:
    """When and how far the difficulty moves.

    It moves when P(ideal > `distance` times away) exceeds a memory's confidence, at most by `largest_step` at once.
    `most`, the network's difficulty, goes before `least`: a client must hand in whatever could be a block. With
    `powers` difficulties are powers of two, rounded up, where there is one inside the bounds.
    """

    shares_per_minute: float = 18.0
    least: float = 1.0
    most: float = math.inf
    distance: float = 1.6
    long_confidence: float = 0.98
    short_confidence: float = 0.999999
    largest_step: float = 16.0
    powers: bool = False

    def within(self, difficulty: float) -> float:
        """`difficulty` inside the bounds."""
        bounded = min(max(difficulty, self.least), self.most)
        if not self.powers or bounded <= 0:
            return bounded
        mantissa, exponent = math.frexp(bounded)
        power = math.ldexp(1.0, exponent - (mantissa == 0.5))
        power = power if power <= self.most else power / 2
        return power if power >= self.least or self.most < self.least else bounded


class Vardiff:
    """The difficulty of one connection: what it is to work at now, its counted `shares` and its `exposure` so far."""

    __slots__ = ("_at", "_marks", "difficulty", "exposure", "rule", "shares")

    def __init__(self, rule: Rule, difficulty: float, now: float) -> None:
        self.rule = rule
        self.difficulty = rule.within(difficulty)
        self.shares = 0
        self._at = now
        self.exposure = 0.0
        self._marks: deque[float] = deque([0.0], maxlen=LONG_MEMORY + 1)  # the exposure at each counted share

    def share(self, now: float, count: int = 1) -> bool:
        """`count` shares that meet `difficulty` arrived at once. Whether the difficulty changed."""
        self._advance(now)
        if count == 1:
            self._marks.append(self.exposure)
        else:
            self._marks.extend([self.exposure] * min(count, LONG_MEMORY + 1))
        self.shares += count
        return self._decide()

    def tick(self, now: float) -> bool:
        """Time has passed, perhaps without shares. Whether the difficulty changed."""
        self._advance(now)
        return self._decide()

    def set(self, difficulty: float, now: float) -> None:
        """Use another difficulty from now on, within the rule's bounds; what was learned is kept."""
        self._advance(now)
        self.difficulty = self.rule.within(difficulty)

    def change_rule(self, rule: Rule, now: float) -> None:
        """Use other bounds or another rate from now on."""
        self.rule = rule
        self.set(self.difficulty, now)

    def pause(self, now: float) -> None:
        """The time until `now` does not count: the client had no work."""
        self._at = max(self._at, now)

    def _advance(self, now: float) -> None:
        if now > self._at:
            self.exposure += (now - self._at) / self.difficulty
            self._at = now

    def _memory(self, size: int) -> tuple[int, float]:
        """Shares and exposure since the share `size` ago, or since the start."""
        count = min(len(self._marks) - 1, size)
        return count, self.exposure - self._marks[-1 - count]

    def _decide(self) -> bool:
        rule = self.rule
        if rule.least == rule.most:
            return False
        for size, confidence in ((SHORT_MEMORY, rule.short_confidence), (LONG_MEMORY, rule.long_confidence)):
            count, exposure = self._memory(size)
            if exposure <= 0:
                continue
            expected = self.difficulty * rule.shares_per_minute / 60 * exposure
            low, high = bounds(count, rule.distance, confidence)
            if (expected < low and count >= FEWEST_TO_RAISE) or expected > high:
                return self._move((count + 0.5) / expected, size)
        return False

    def _move(self, factor: float, size: int) -> bool:
        factor = min(max(factor, 1 / self.rule.largest_step), self.rule.largest_step)
        wanted = self.rule.within(rounded(self.difficulty * factor))
        if wanted == self.difficulty:
            return False
        if size == SHORT_MEMORY:  # the rate has changed: what is older says nothing of it
            while len(self._marks) > SHORT_MEMORY + 1:
                self._marks.popleft()
        self.difficulty = wanted
        return True


@lru_cache(maxsize=1024)
def bounds(count: int, distance: float, confidence: float) -> tuple[float, float]:
    """Expected shares at the present difficulty, below and above which `count` real ones prove it too far off.

    Below the first P(ideal > distance x difficulty) exceeds `confidence`, above the second P(ideal < difficulty /
    distance) does.
    """
    shape = count + 0.5
    return gamma_quantile(shape, 1 - confidence) / distance, gamma_quantile(shape, confidence) * distance


def rounded(difficulty: float) -> float:
    """`difficulty` as miners are to see it: three significant digits, a whole number from 1 on."""
    if difficulty >= 1000:
        scale = 10 ** (int(math.log10(difficulty)) - 2)
        return float(round(difficulty / scale) * scale) if difficulty < 1e15 else difficulty
    return float(round(difficulty)) if difficulty >= 1 else float(f"{difficulty:.3g}")


def rate_interval_hps(shares: int, exposure: float) -> tuple[float, float, float]:
    """(mean, low, high) of the hash rate in H/s that `shares` in `exposure` prove; (0, 0, inf) without exposure."""
    if exposure <= 0:
        return 0.0, 0.0, math.inf
    scale, (low, high) = HASHES_PER_DIFFICULTY / exposure, poisson_interval(shares)
    return (shares + 0.5) * scale, low * scale, high * scale
