"""Counting hashes, per worker and in all, and holding them against the shares that came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_WORKERS = 1000
_OTHERS = "others"
_BIN_SECS = 30.0
_MAX_BINS = 960


@dataclass(slots=True)
class WorkerTally:
    """One worker's hour: hashes by its own counter, shares found, and shares that so many hashes should bring."""

    hashes: int = 0
    shares: int = 0
    expected_shares: float = 0.0


class Counts:
    """Turns readings of ever-growing counters into hashes done, and into samples of the rate.

    A counter that is lower than before belongs to a worker that began again: it counts from zero.
    """

    def __init__(self) -> None:
        self.workers: dict[str, WorkerTally] = {}
        self.hashes = 0
        self.expected_shares = 0.0
        self.expected_blocks = 0.0
        self.samples: list[tuple[float, float]] = []
        self._bin_secs = _BIN_SECS
        self._last: dict[str, int] = {}
        self._last_up: float | None = None

    def start(self, readings: Mapping[str, int], up: float) -> None:
        """Count from these readings on: the beginning of a run or of an hour."""
        self._last = {label: int(value) for label, value in readings.items()}
        self._last_up = up

    def read(self, readings: Mapping[str, int], up: float, share_hashes: float, block_hashes: float) -> None:
        """New readings at `up` seconds; shares take `share_hashes` on average, blocks `block_hashes` (0: unknown)."""
        done = 0
        if any(type(value) is not int or value < 0 for value in readings.values()):
            raise ValueError("a counter is a whole number")
        for label, value in readings.items():
            before = self._last.get(label, 0)
            delta = int(value) - before if value >= before else int(value)
            self._last[label] = int(value)
            tally = self.worker(label)
            tally.hashes += delta
            if share_hashes:
                tally.expected_shares += delta / share_hashes
            done += delta
        self.hashes += done
        if share_hashes:
            self.expected_shares += done / share_hashes
        if block_hashes:
            self.expected_blocks += done / block_hashes
        if self._last_up is not None and up > self._last_up:
            self._sample(done, up - self._last_up)
        self._last_up = up

    def worker(self, label: str) -> WorkerTally:
        """The worker's tally; beyond a thousand workers, one for all the others."""
        if label not in self.workers and len(self.workers) >= MAX_WORKERS:
            label = _OTHERS
        return self.workers.setdefault(label, WorkerTally())

    def _sample(self, hashes: float, secs: float) -> None:
        """Add to the newest bin until it is long enough; all bins get longer before there are too many."""
        if self.samples and self.samples[-1][1] < self._bin_secs:
            before, before_secs = self.samples[-1]
            self.samples[-1] = (before + hashes, before_secs + secs)
        else:
            self.samples.append((hashes, secs))
        if len(self.samples) > _MAX_BINS:
            newest = self.samples.pop()
            pairs = zip(self.samples[::2], self.samples[1::2], strict=True)
            self.samples = [(a[0] + b[0], a[1] + b[1]) for a, b in pairs]
            self.samples.append(newest)
            self._bin_secs *= 2
