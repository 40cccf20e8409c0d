"""Do a worker's hashes look like hashes? Running tests over its shares, with bounded memory and a stated alarm rate.

If everything works, the shares of a worker are a uniform sample: of the nonces within a chunk, of all bits of the hash
below the target, of the hash's value between zero and the target, and of the claimed hashes between one share and the
next (exponentially). A window (an hour) is tested in eight ways; the alarm rate is divided among them, so the whole
raises a false alarm in at most that share of windows. `scripts/diagnostics-power` measures that, and what each sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solominer.insight import boxes

DEFAULT_ALARM_RATE = 1e-4
TESTS = ("bits", "nonce bytes", "hash bytes", "hash values", "gaps", "share rate", "duplicates", "box dimension")
HASH_BYTES = 16  # the lowest ones: no target reaches down there
_BINS = 1024
_QUEUE = 256
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
    """The running tests of one worker, about 120 KiB whatever the number of shares.

    `nonce_bits`: how many low bits of the nonce are uniform, i.e. log2 of a chunk that is always searched whole; the
    bits above depend on when jobs end. `alarm_rate`: false alarms allowed for each window.
    """

    def __init__(self, nonce_bits: int = 18, alarm_rate: float = DEFAULT_ALARM_RATE) -> None:
        self._allowed = alarm_rate / len(TESTS)
        self._nonce_bits = nonce_bits
        self._queue: list[tuple[int, bytes, float, float]] = []
        self._claimed = 0.0
        self._hashes_per_share = math.inf
        self._deficit = 0.0  # the sequential test's statistic: log likelihood of missing shares, never below zero
        self._tail = np.empty(0, np.uint16)  # hashes that do not fill a block of the box-counting test yet
        self._clear()

    def _clear(self) -> None:
        self._samples = self._duplicates = 0
        self._expected = 0.0
        self._bits = np.zeros(self._nonce_bits + 8 * HASH_BYTES, np.int64)
        self._bytes = np.zeros((self._nonce_bits // 8 + HASH_BYTES, 256), np.int64)
        self._values = np.zeros(_BINS, np.int64)
        self._gaps = np.zeros(_BINS, np.int64)
        self._dimensions: list[float] = []

    def add(self, nonce: int, hash_le: bytes, target: int, claimed_hashes: float, *, duplicate: bool = False) -> None:
        """Take in a share: its nonce, its hash, the share target it met, and the worker's own count of hashes when it
        was found, from the worker's start; that count must move in steps much smaller than a share takes on average.
        One that went back (the worker was restarted) goes on from there, and the hashes between are not counted.
        `duplicate`: it was seen before (see DuplicateFinder)."""
        self._hashes_per_share = 2.0**256 / (target + 1)
        gap = self._claim(claimed_hashes)
        value = int.from_bytes(hash_le, "little") / (target + 1)
        self._queue.append((nonce, hash_le, value, gap))
        self._duplicates += duplicate
        if len(self._queue) >= _QUEUE:
            self._fold()

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

    def _fold(self) -> None:
        if not self._queue:
            return
        nonces, hashes, values, gaps = zip(*self._queue, strict=True)
        self._queue.clear()
        table = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)
        self.feed(np.array(nonces, np.uint32), table, np.array(values), np.array(gaps))

    def feed(
        self,
        nonces: NDArray[np.uint32],
        hashes_le: NDArray[np.uint8],
        values: NDArray[np.float64],
        gaps: NDArray[np.float64],
    ) -> None:
        """Many shares at once: hashes of shape (n, 32), their values over the target, and the claimed hashes since the
        share before over what a share takes on average."""
        self._samples += len(nonces)
        low = np.ascontiguousarray(hashes_le[:, :HASH_BYTES])
        nonce_bytes = nonces.astype("<u4").view(np.uint8).reshape(-1, 4)
        ones = np.unpackbits(np.hstack([nonce_bytes, low]), axis=1, bitorder="little").sum(axis=0, dtype=np.int64)
        self._bits += np.concatenate([ones[: self._nonce_bits], ones[32:]])
        columns = np.hstack([nonce_bytes[:, : self._nonce_bits // 8], low])
        index = columns + 256 * np.arange(columns.shape[1])
        self._bytes += np.bincount(index.ravel(), minlength=self._bytes.size).reshape(self._bytes.shape)
        self._values += _binned(values)
        self._gaps += _binned(-np.expm1(-gaps))
        self._expected += float(gaps.sum())
        self._tail = np.concatenate([self._tail, np.ascontiguousarray(low[:, :2]).view("<u2").ravel()])
        while len(self._tail) >= boxes.BLOCK:
            self._dimensions.append(boxes.box_dimension(self._tail[: boxes.BLOCK]))
            self._tail = self._tail[boxes.BLOCK :]

    def close(self, claimed_hashes: float | None = None) -> list[Finding]:
        """End the window: all findings, in the order of TESTS. `claimed_hashes` is the worker's count by now, without
        which the time since its last share is not counted. A new window begins; the test of the share rate goes on."""
        self._fold()
        if claimed_hashes is not None and self._hashes_per_share < math.inf:
            self._expected += self._claim(claimed_hashes)
        nonce_bytes = self._nonce_bits // 8
        findings = [
            self._finding("bits", self._samples, *_bits_test(self._bits, self._samples)),
            self._finding("nonce bytes", self._samples, *_bytes_test(self._bytes[:nonce_bytes], self._samples)),
            self._finding("hash bytes", self._samples, *_bytes_test(self._bytes[nonce_bytes:], self._samples)),
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


def _binned(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.bincount(np.clip((values * _BINS).astype(np.int64), 0, _BINS - 1), minlength=_BINS)


def _bits_test(ones: NDArray[np.int64], samples: int) -> tuple[float, float]:
    """(largest deviation of a bit in standard deviations, exact two-sided binomial p-value, for having many bits)."""
    from scipy.special import bdtr

    if not samples:
        return 0.0, 1.0
    fewer = np.minimum(ones, samples - ones)
    p_value = 2 * bdtr(fewer.astype(np.float64), samples, 0.5).min() * len(ones)
    return float((samples - 2 * fewer).max() / math.sqrt(samples)), min(1.0, float(p_value))


def _bytes_test(counts: NDArray[np.int64], samples: int) -> tuple[float, float]:
    """Chi-squared of byte values, added up over byte places; below one share for each value it says nothing."""
    from scipy.special import chdtrc

    if samples < 256 or not len(counts):
        return 0.0, 1.0
    expected = samples / 256
    statistic = float(((counts - expected) ** 2).sum() / expected)
    return statistic, float(chdtrc(255 * len(counts), statistic))


def _uniform_test(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Kolmogorov-Smirnov against uniform on a histogram: the distance is taken at 1,023 edges only, which can but
    lower it, so the p-value errs upwards."""
    from scipy.special import kolmogorov

    samples = int(counts.sum())
    if not samples:
        return 0.0, 1.0
    distance = float(np.abs(np.cumsum(counts) / samples - np.arange(1, _BINS + 1) / _BINS).max())
    root = math.sqrt(samples)
    return distance, float(kolmogorov((root + 0.12 + 0.11 / root) * distance))


def _dimension_test(dimensions: list[float]) -> tuple[float, float]:
    """The mean dimension of the window's blocks against what simulation says, two-sided."""
    from scipy.special import ndtr

    if not dimensions:
        return 0.0, 1.0
    mean = sum(dimensions) / len(dimensions)
    z = (mean - boxes.EXPECTED_DIMENSION) / boxes.DIMENSION_SD * math.sqrt(len(dimensions))
    return mean, float(2 * ndtr(-abs(z)))
