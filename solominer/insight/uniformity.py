"""Do a worker's hashes look like hashes? Running tests over its shares, with bounded memory and a stated alarm rate.

If everything works, the shares of a worker are a uniform sample: of the nonces within a chunk, of all bits of the hash
below the target, of the hash's value between zero and the target, and of the claimed hashes between one share and the
next (exponentially). A window (an hour) is tested in eight ways; the alarm rate is divided among them, so the whole
raises a false alarm in at most that share of windows. `scripts/diagnostics-power` measures that, and what each sees.
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
HASH_BYTES = 16  # the lowest ones: no target reaches down there
_BINS = 1024
BLOCK = 1025  # hashes of the box-counting test, which make 1,024 points
FINEST = 64  # its boxes on a side; every coarser grid halves it down to 2
EXPECTED_DIMENSION, DIMENSION_SD = 1.63160, 0.003532
_MISSING_RATIO = 0.9  # the share rate, relative to the claim, that the sequential test is sharpest for


@dataclass(frozen=True, slots=True)
class Finding:
    """A test's result for a window: `p_value` is the chance of a result as odd if all is well, `samples` how many
    shares (or blocks of shares) it rests on, `alarm` whether it is below what the test is allowed."""

    test: str
    samples: int
    statistic: float
    p_value: float
    alarm: bool


class Diagnostics:
    """The running tests of one worker, about 60 KiB whatever the number of shares.

    `nonce_bits`: how many low bits of the nonce are uniform, i.e. log2 of a chunk that is always searched whole; the
    bits above depend on when jobs end. `alarm_rate`: false alarms allowed for each window.
    """

    def __init__(self, nonce_bits: int = 18, alarm_rate: float = DEFAULT_ALARM_RATE) -> None:
        self._allowed = alarm_rate / len(TESTS)
        self._nonce_bits = nonce_bits
        self._claimed = 0.0
        self._hashes_per_share = math.inf
        self._deficit = 0.0  # the sequential test's statistic: log likelihood of missing shares, never below zero
        self._tail: list[int] = []  # hashes that do not fill a block of the box-counting test yet
        self._clear()

    def _clear(self) -> None:
        self._samples = self._duplicates = 0
        self._expected = 0.0
        places = (self._nonce_bits + 7) // 8 + HASH_BYTES
        self._bytes = [array("q", [0]) * 256 for _ in range(places)]  # how often each place had each byte value
        self._values, self._gaps = array("q", [0]) * _BINS, array("q", [0]) * _BINS
        self._dimensions: list[float] = []

    def add(self, nonce: int, hash_le: bytes, target: int, claimed_hashes: float, *, duplicate: bool = False) -> None:
        """Take in a share: its nonce, its hash, the share target it met, and the worker's own count of hashes when it
        was found, from the worker's start; that count must move in steps much smaller than a share takes on average.
        One that went back (the worker was restarted) goes on from there, and the hashes between are not counted.
        `duplicate`: it was seen before (see DuplicateFinder)."""
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
        """Take note of the worker's count at a moment that no share decided, as when shares get another target: up to
        here it was `target` (None: these hashes are not to be judged). The wait for the next share begins anew, which
        changes nothing about its distribution: it has no memory."""
        if target is None:
            self._claimed = claimed_hashes
        else:
            self._hashes_per_share = 2.0**256 / (target + 1)
            self._expected += self._claim(claimed_hashes)

    def repeated(self) -> None:
        """A share came that somebody else has left out because it was seen before."""
        self._duplicates += 1

    def _claim(self, claimed_hashes: float) -> float:
        """Move the claimed count on; the shares that the step should bring."""
        step = max(0.0, claimed_hashes - self._claimed)
        self._claimed = claimed_hashes
        return step / self._hashes_per_share

    def close(self, claimed_hashes: float | None = None) -> list[Finding]:
        """End the window: all findings, in the order of TESTS. `claimed_hashes` is the worker's count by now, without
        which the time since its last share is not counted. A new window begins; the test of the share rate goes on."""
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
        """Page's cumulative sum for a share rate below the claim, over all windows since it last raised an alarm.

        Its p-value is a bound: the mean time to a false alarm at threshold h is at least exp(h) windows (Lorden, 1971).
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
    """Chi-squared of byte values, added up over byte places; below one share for each value it says nothing."""
    if samples < 256 or not counts:
        return 0.0, 1.0
    expected = samples / 256
    statistic = sum((count - expected) ** 2 for place in counts for count in place) / expected
    return statistic, chance_of_chi_squared(255 * len(counts), statistic)


def _uniform_test(counts: Sequence[int]) -> tuple[float, float]:
    """Kolmogorov-Smirnov against uniform on a histogram: the distance is taken at 1,023 edges only, which can but
    lower it, so the p-value errs upwards."""
    samples = sum(counts)
    if not samples:
        return 0.0, 1.0
    distance = max(abs(sums / samples - i / _BINS) for i, sums in enumerate(accumulate(counts), 1))
    root = math.sqrt(samples)
    return distance, chance_of_distance((root + 0.12 + 0.11 / root) * distance)


def _dimension_test(dimensions: list[float]) -> tuple[float, float]:
    """The mean dimension of the window's blocks against what simulation says, two-sided."""
    if not dimensions:
        return 0.0, 1.0
    mean = sum(dimensions) / len(dimensions)
    return mean, chance_beyond((mean - EXPECTED_DIMENSION) / DIMENSION_SD * math.sqrt(len(dimensions)))


def box_dimension(values: Sequence[int]) -> float:
    """The box-counting dimension of points (values[i], values[i + 1]) of 16 bits each: the least-squares slope of
    log(boxes hit) over log(boxes on a side).

    For hashes that look like hashes the points fill the plane, but 1,024 points cannot fill 4,096 boxes, so the slope
    that is measured lies below 2. Its mean and spread are from simulation (`scripts/diagnostics-power --band`). What it
    is worth beside the other tests is measured too: docs/odds-and-order.md.
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
    """Has this share been seen before? One table for all workers, of fixed size however many shares come.

    A share seen twice means that the same work was done twice: one worker that repeats a range, or two on one space.
    Shares are remembered in `slots` places (a power of two, 12 bytes each), the newest overwriting what was there.

    It never takes two different shares for one, but for a chance of 2**-64 a share; it forgets an old share with chance
    1 - exp(-n / slots) after n newer ones.
    """

    def __init__(self, slots: int = 1 << 17) -> None:
        if slots & (slots - 1) or slots <= 0:
            raise ValueError("the number of slots is a power of two")
        self._mask = slots - 1
        self._prints = array("Q", [0]) * slots
        self._workers = array("i", [-1]) * slots

    def seen(self, hash_le: bytes, worker: int) -> int | None:
        """The worker (a number >= 0) that brought this share before, or None; from now on it is this one's."""
        print_ = int.from_bytes(hash_le[:8], "little")
        slot = int.from_bytes(hash_le[8:12], "little") & self._mask  # low bytes: no target makes them zero
        before = self._workers[slot]
        same = before >= 0 and self._prints[slot] == print_
        self._prints[slot], self._workers[slot] = print_, worker
        return before if same else None
