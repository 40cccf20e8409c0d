"""Hash counts per worker and in total, and the shares expected from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

MAX_WORKERS = 1000
_OTHERS = "others"
_BIN_SECS = 30.0
_MAX_BINS = 960


CREDIT_UNIT = 1 << 32
"""Expected hashes for a share of difficulty 1: the unit of credited hashes in the ledger (numbers stay below 2**62)."""

_T = TypeVar("_T", int, float)


def _growth(before: _T, now: _T) -> _T:
    return now - before if now >= before else now


@dataclass(slots=True)
class WorkerTally:
    """One worker's hour.

    `counted` hashes are from its counter, `credited` ones are inferred from its shares by the engine. `expected_shares`
    is computed from the counted hashes; `share_hashes` is the expected number of hashes for the shares found.
    """

    counted: int = 0
    credited: float = 0.0
    shares: int = 0
    expected_shares: float = 0.0
    share_hashes: float = 0.0


class Counts:
    """Turns readings of cumulative counters into hashes and samples of the hash rate.

    A counter that decreased belongs to a restarted worker and counts from zero.
    """

    def __init__(self) -> None:
        self.workers: dict[str, WorkerTally] = {}
        self.counted = 0
        self.credited = 0.0
        self.expected_shares = 0.0
        self.share_hashes = self.share_squares = 0.0
        self.expected_blocks = 0.0
        self.samples: list[tuple[float, float]] = []
        self._bin_secs = _BIN_SECS
        self._last: dict[str, int] = {}
        self._last_credited: dict[str, float] = {}
        self._last_up: float | None = None

    def start(self, counters: Mapping[str, int], credited: Mapping[str, float], up: float) -> None:
        """Count from these readings on, at the start of a run or hour."""
        self._last = {label: int(value) for label, value in counters.items()}
        self._last_credited = {label: float(value) for label, value in credited.items()}
        self._last_up = up

    def read(
        self,
        counters: Mapping[str, int],
        credited: Mapping[str, float],
        up: float,
        share_hashes: Callable[[str], float],
        block_hashes: float,
    ) -> None:
        """New readings at `up` seconds; `credited` is in units of CREDIT_UNIT hashes.

        `share_hashes` returns a worker's expected hashes per share, `block_hashes` are those per block (0: unknown).
        Raises ValueError.
        """
        if any(type(value) is not int or value < 0 for value in counters.values()):
            raise ValueError("counters must be whole numbers")
        if any(type(value) not in (int, float) or not 0 <= value < math.inf for value in credited.values()):
            raise ValueError("credited hashes must be finite and not negative")
        done = 0.0
        for label, value in counters.items():
            delta = _growth(self._last.get(label, 0), value)
            self._last[label] = value
            tally = self.worker(label)
            tally.counted += delta
            self.counted += delta
            if per_share := share_hashes(label):
                tally.expected_shares += delta / per_share
                self.expected_shares += delta / per_share
            done += delta
        for label, units in credited.items():
            gained = CREDIT_UNIT * _growth(self._last_credited.get(label, 0.0), units)
            self._last_credited[label] = units
            self.worker(label).credited += gained
            self.credited += gained
            done += gained
        if block_hashes:
            self.expected_blocks += done / block_hashes
        if self._last_up is not None and up > self._last_up:
            self._sample(done, up - self._last_up)
        self._last_up = up

    def share(self, label: str, hashes: float) -> None:
        """A worker found a share with this expected number of hashes."""
        tally = self.worker(label)
        tally.shares += 1
        tally.share_hashes += hashes
        self.share_hashes += hashes
        self.share_squares += hashes * hashes

    def worker(self, label: str) -> WorkerTally:
        """The worker's tally; beyond 1000 workers, one for all others."""
        if label not in self.workers and len(self.workers) >= MAX_WORKERS:
            label = _OTHERS
        return self.workers.setdefault(label, WorkerTally())

    def _sample(self, hashes: float, secs: float) -> None:
        """Add to the newest bin until it is full; when there are too many bins, merge pairs and double their length."""
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
