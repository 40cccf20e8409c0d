"""Statistical tests of a worker's hashes, computed from its shares, with bounded memory and a bounded alarm rate.

On a working machine a worker's shares are a uniform sample of the nonces within a chunk, of the bits of the hash below
the target and of the hash's value up to the target, and the claimed hashes between shares are exponentially
distributed. Eight tests examine each window (an hour) and share the alarm rate. `scripts/diagnostics-power` measures
false alarms and power.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from solominer.insight.distributions import chance_beyond, chance_of_chi_squared, chance_of_distance, chance_of_heads

DEFAULT_ALARM_RATE = 1e-4
TESTS = ("bits", "nonce bytes", "hash bytes", "hash values", "gaps", "share rate", "duplicates", "box dimension")
HASH_BYTES = 16  # the lowest ones, unconstrained by any target
_BINS = 1024
BLOCK = 1025  # hashes per box-counting test, which make 1,024 points
FINEST = 64  # boxes per side of its finest grid; coarser ones halve it, down to 2
EXPECTED_DIMENSION, DIMENSION_SD = 1.63160, 0.003532
_MISSING_RATIO = 0.9  # the share rate, relative to the claim, for which the sequential test is optimal


@dataclass(frozen=True, slots=True)
class Finding:
    """A test's result for a window; `samples` is its number of shares (or blocks of shares), `alarm` whether `p_value`
    is below the test's part of the alarm rate."""

    test: str
    samples: int
    statistic: float
    p_value: float
    alarm: bool


class Diagnostics:
    """The running tests of one worker, about 60 KiB whatever the number of shares.

    `nonce_bits`: how many low bits of the nonce are uniform: log2 of the chunk size (the bits above depend on when jobs
    end). `alarm_rate`: false alarms allowed per window.
    """

    def __init__(self, nonce_bits: int = 18, alarm_rate: float = DEFAULT_ALARM_RATE) -> None:
        self._allowed = alarm_rate / len(TESTS)
        self._nonce_bits = nonce_bits
        self._claimed = 0.0
        self._hashes_per_share = math.inf
        self._deficit = 0.0  # the sequential test's statistic: log likelihood of missing shares, never below zero
        self._tail: list[int] = []  # hashes of the next block of the box-counting test
        self._clear()

    def _clear(self) -> None:
        self._samples = self._duplicates = 0
        self._expected = 0.0
        places = (self._nonce_bits + 7) // 8 + HASH_BYTES
        self._bytes = [array("q", [0]) * 256 for _ in range(places)]  # counts of each byte value at each place
        self._values, self._gaps = array("q", [0]) * _BINS, array("q", [0]) * _BINS
        self._dimensions: list[float] = []

    def add(self, nonce: int, hash_le: bytes, target: int, claimed_hashes: float, *, duplicate: bool = False) -> None:
        """Add a share: nonce, hash, the share target it met, and the worker's total hash count when it was found.

        The count must advance in steps much smaller than a share takes on average. If it goes back (the worker was
        restarted) it continues from there, and the hashes in between are not counted. `duplicate`: it was seen before
        (see DuplicateFinder).
        """
        self._hashes_per_share = 2.0**256 / (target + 1)
        gap = self._claim(claimed_hashes)
        self._samples += 1
        self._duplicates += duplicate
        self._expected += gap
        nonce_bytes = (nonce & (1 << self._nonce_bits) - 1).to_bytes(4, "little")[: len(self._bytes) - HASH_BYTES]
        for counts, value in zip(self._bytes, nonce_bytes + hash_le[:HASH_BYTES], strict=True):
            counts[value] += 1
        self._values[_bin(int.from_bytes(hash_le, "little") / (target + 1))] += 1
        self._gaps[_bin(-math.expm1(-gap))] += 1
        self._tail.append(int.from_bytes(hash_le[:2], "little"))
        if len(self._tail) == BLOCK:
            self._dimensions.append(box_dimension(self._tail))
            self._tail = []

    def advance(self, claimed_hashes: float, target: int | None) -> None:
        """Record the worker's hash count at a moment independent of its shares, such as a change of the share target.

        `target` is the target up to now (None: do not test these hashes). The wait for the next share starts anew; the
        exponential distribution is memoryless.
        """
        if target is None:
            self._claimed = claimed_hashes
        else:
            self._hashes_per_share = 2.0**256 / (target + 1)
            self._expected += self._claim(claimed_hashes)

    def repeated(self) -> None:
        """Count a duplicate share that was filtered out before."""
        self._duplicates += 1

    def _claim(self, claimed_hashes: float) -> float:
        """Advance the claimed count; returns the expected number of shares in this step."""
        step = max(0.0, claimed_hashes - self._claimed)
        self._claimed = claimed_hashes
        return step / self._hashes_per_share

    def close(self, claimed_hashes: float | None = None) -> list[Finding]:
        """End the window and return its findings in the order of TESTS; the share rate test continues over windows.

        Without `claimed_hashes`, the worker's current hash count, the time since its last share is not counted.
        """
        if claimed_hashes is not None and self._hashes_per_share < math.inf:
            self._expected += self._claim(claimed_hashes)
        whole, places = self._nonce_bits // 8, len(self._bytes) - HASH_BYTES
        findings = [
            self._finding("bits", self._samples, *self._bits_test()),
            self._finding("nonce bytes", self._samples, *_bytes_test(self._bytes[:whole], self._samples)),
            self._finding("hash bytes", self._samples, *_bytes_test(self._bytes[places:], self._samples)),
            self._finding("hash values", self._samples, *_uniform_test(self._values)),
            self._finding("gaps", self._samples, *_uniform_test(self._gaps)),
            self._finding("share rate", self._samples, *self._rate_test()),
            self._finding("duplicates", self._samples, float(self._duplicates), 0.0 if self._duplicates else 1.0),
            self._finding("box dimension", len(self._dimensions), *_dimension_test(self._dimensions)),
        ]
        self._clear()
        return findings

    def _finding(self, test: str, samples: int, statistic: float, p_value: float) -> Finding:
        return Finding(test, samples, statistic, p_value, p_value <= self._allowed)

    def _bits_test(self) -> tuple[float, float]:
        """(largest deviation of a bit in standard deviations, exact two-sided binomial p-value over all bits)."""
        if not self._samples:
            return 0.0, 1.0
        places, whole = len(self._bytes) - HASH_BYTES, self._nonce_bits // 8
        fewer, bits = self._samples, self._nonce_bits + 8 * HASH_BYTES
        for place, counts in enumerate(self._bytes):
            for bit in range(self._nonce_bits % 8 if whole <= place < places else 8):
                ones = sum(count for value, count in enumerate(counts) if value >> bit & 1)
                fewer = min(fewer, ones, self._samples - ones)
        p_value = min(1.0, 2 * chance_of_heads(fewer, self._samples) * bits)
        return (self._samples - 2 * fewer) / math.sqrt(self._samples), p_value

    def _rate_test(self) -> tuple[float, float]:
        """Page's CUSUM for a share rate below the claim, over all windows since its last alarm.

        The p-value is a bound: the mean time to a false alarm at threshold h is at least exp(h) windows (Lorden, 1971).
        """
        gained = self._samples * math.log(_MISSING_RATIO) + self._expected * (1 - _MISSING_RATIO)
        statistic = self._deficit = max(0.0, self._deficit + gained)
        p_value = math.exp(-statistic)
        if p_value <= self._allowed:
            self._deficit = 0.0
        return statistic, p_value


def _bin(value: float) -> int:
    return min(int(value * _BINS), _BINS - 1)


def _bytes_test(counts: Sequence[Sequence[int]], samples: int) -> tuple[float, float]:
    """Chi-squared test of the byte values, summed over byte places; needs at least one share per byte value."""
    if samples < 256 or not counts:
        return 0.0, 1.0
    expected = samples / 256
    statistic = sum((count - expected) ** 2 for place in counts for count in place) / expected
    return statistic, chance_of_chi_squared(255 * len(counts), statistic)


def _uniform_test(counts: Sequence[int]) -> tuple[float, float]:
    """Kolmogorov-Smirnov test for uniformity on a histogram, which can only lower the distance: it is conservative."""
    samples = sum(counts)
    if not samples:
        return 0.0, 1.0
    distance = max(abs(sums / samples - i / _BINS) for i, sums in enumerate(accumulate(counts), 1))
    root = math.sqrt(samples)
    return distance, chance_of_distance((root + 0.12 + 0.11 / root) * distance)


def _dimension_test(dimensions: list[float]) -> tuple[float, float]:
    """Two-sided z-test of the blocks' mean dimension against its simulated distribution."""
    if not dimensions:
        return 0.0, 1.0
    mean = sum(dimensions) / len(dimensions)
    return mean, chance_beyond((mean - EXPECTED_DIMENSION) / DIMENSION_SD * math.sqrt(len(dimensions)))


def box_dimension(values: Sequence[int]) -> float:
    """The box-counting dimension of the points (values[i], values[i + 1]), 16 bits each: the least-squares slope of
    log(boxes hit) over log(boxes per side).

    It is below 2 even for uniform hashes, since 1,024 points cannot fill 4,096 boxes; its mean and standard deviation
    are simulated (`scripts/diagnostics-power --band`). docs/odds-and-order.md compares its power with the other tests.
    """
    shift = 17 - FINEST.bit_length()
    boxes = {(a >> shift, b >> shift) for a, b in pairwise(values)}
    x, y, side = [], [], FINEST
    while side > 1:
        x.append(math.log(side))
        y.append(math.log(len(boxes)))
        boxes, side = {(a >> 1, b >> 1) for a, b in boxes}, side // 2
    middle = sum(x) / len(x)
    return sum((a - middle) * b for a, b in zip(x, y, strict=True)) / sum((a - middle) ** 2 for a in x)


class DuplicateFinder:
    """Finds duplicate shares, which mean that work was done twice. One table of fixed size for all workers.

    It has `slots` entries (a power of two, 12 bytes each); a newer share overwrites an older one. The chance of a false
    positive is 2**-64 per share; a share is forgotten with chance 1 - exp(-n / slots) after n newer ones.
    """

    def __init__(self, slots: int = 1 << 17) -> None:
        if slots & (slots - 1) or slots <= 0:
            raise ValueError("the number of slots must be a power of two")
        self._mask = slots - 1
        self._prints = array("Q", [0]) * slots
        self._workers = array("i", [-1]) * slots

    def seen(self, hash_le: bytes, worker: int) -> int | None:
        """The worker that submitted this share before, or None; remembers it as `worker`'s (>= 0)."""
        print_ = int.from_bytes(hash_le[:8], "little")
        slot = int.from_bytes(hash_le[8:12], "little") & self._mask  # low bytes: no target makes them zero
        before = self._workers[slot]
        same = before >= 0 and self._prints[slot] == print_
        self._prints[slot], self._workers[slot] = print_, worker
        return before if same else None
