"""Tests whether a miner's best hashes, each the smallest of a known number of shares, are consistent with its work.

A miner that withholds or loses its best shares is credited with more work than its best hashes indicate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from solominer.chain.target import HASH_SPACE
from solominer.insight.distributions import chance_of_heads, gamma_tails
from solominer.insight.uniformity import DEFAULT_ALARM_RATE, HASH_BYTES, Finding

TESTS = ("best hashes", "hash bits")
_BITS = 8 * HASH_BYTES
_SAME = 1e-6
_FEWEST_HASHES = 1024


@dataclass(slots=True)
class BestShares:
    """The running tests of one miner or client, about 4 KiB whatever the number of shares."""

    samples: int = 0
    alike: int = 0
    """Samples whose shares all had the same target."""
    statistic: float = 0.0
    ones: list[int] = field(default_factory=lambda: [0] * _BITS)

    def add(self, best_hash: int, shares: int, hashes: float, hashes_squared: float) -> None:
        """Add the smallest hash of `shares` shares that take `hashes` on average (`hashes_squared`: sum of squares).

        For the smallest, b, of n hashes that are uniform below a target T, -n ln(1 - b / T) is exponentially
        distributed. Shares that take very few hashes (regtest) are skipped: their hash counts are rounded to integers.
        """
        if hashes < shares * _FEWEST_HASHES:
            return
        self.samples += 1
        for bit in range(_BITS):
            self.ones[bit] += best_hash >> bit & 1
        if hashes_squared * shares <= hashes * hashes * (1 + _SAME):
            self.alike += 1
            part = min(best_hash / HASH_SPACE * (hashes / shares), 1 - 1e-12)
            self.statistic -= shares * math.log1p(-part)

    def plus(self, other: BestShares) -> BestShares:
        """The tests over the samples of both."""
        ones = [one + also for one, also in zip(self.ones, other.ones, strict=True)]
        return BestShares(
            self.samples + other.samples, self.alike + other.alike, self.statistic + other.statistic, ones
        )

    def findings(self) -> list[Finding]:
        """The results in the order of TESTS; they share the alarm rate."""
        allowed = DEFAULT_ALARM_RATE / len(TESTS)
        best = 2 * min(gamma_tails(self.alike, self.statistic)) if self.alike else 1.0
        fewest = min(min(ones, self.samples - ones) for ones in self.ones)
        bits = min(1.0, 2 * chance_of_heads(fewest, self.samples) * _BITS) if self.samples else 1.0
        deviation = (self.samples - 2 * fewest) / math.sqrt(self.samples) if self.samples else 0.0
        results = ((self.alike, self.statistic, best), (self.samples, deviation, bits))
        return [
            Finding(test, samples, statistic, p_value, p_value <= allowed)
            for test, (samples, statistic, p_value) in zip(TESTS, results, strict=True)
        ]
