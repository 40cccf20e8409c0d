"""What workers did in the last seven days, from the ledger: their work, best shares and latest news.

The `counters` lines say how much work each worker has done, once a minute; `miners` lines have the shares of Stratum
miners, summed over a minute, and `share` lines those of our own workers one by one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from solominer.chain.target import difficulty
from solominer.records.ledger.jsonlines import MALFORMED
from solominer.records.ledger.reader import LedgerReader

BIN_SECS = 600
RECENT_SECS = 900
KEPT_SECS = 7 * 86400
SILENT_SECS = 90.0
"""Amounts come once a minute. Rates end with the newest one, unless there was none for this long."""

_MARGIN_SECS = 300


class Series:
    """Something that was counted, such as hashes or shares, over time (Unix seconds).

    It is exact for the last quarter of an hour, and kept in bins of ten minutes for a week.
    """

    def __init__(self) -> None:
        self.first_at = self.last_at = 0.0
        self.bins: dict[int, float] = {}
        self._recent: deque[tuple[float, float, float]] = deque()

    def add(self, from_at: float, to_at: float, amount: float) -> None:
        """Count `amount`, spread evenly over the time from `from_at` to `to_at`: a second at least."""
        from_at = max(min(from_at, to_at - 1), to_at - KEPT_SECS)
        self.first_at = self.first_at or from_at
        self.last_at = max(self.last_at, to_at)
        self._recent.append((from_at, to_at, amount))
        while self._recent[0][1] < to_at - RECENT_SECS - _MARGIN_SECS:
            self._recent.popleft()
        for start in range(int(from_at // BIN_SECS) * BIN_SECS, int(to_at) + 1, BIN_SECS):
            if part := amount * _overlap(from_at, to_at, start, start + BIN_SECS):
                self.bins[start] = self.bins.get(start, 0.0) + part
        while self.bins and next(iter(self.bins)) < to_at - KEPT_SECS - BIN_SECS:
            del self.bins[next(iter(self.bins))]

    def rate(self, secs: float, now: float) -> float:
        """Per second over the last `secs`, or since the first amount if that is less."""
        end_at = max(self.last_at, now - SILENT_SECS)
        from_at = max(end_at - secs, self.first_at)
        if not self.first_at or end_at <= from_at:
            return 0.0
        parts = self._recent if secs <= RECENT_SECS else self._binned(end_at)
        total = sum(amount * _overlap(start, end, from_at, end_at) for start, end, amount in parts)
        return total / (end_at - from_at)

    def _binned(self, end_at: float) -> list[tuple[float, float, float]]:
        """The bins with the time that each has covered so far."""
        return [
            (max(start, self.first_at), min(start + BIN_SECS, end_at), amount)
            for start, amount in self.bins.items()
            if start < end_at
        ]


def _overlap(start: float, end: float, from_at: float, to_at: float) -> float:
    """The share of the time from `start` to `end` that lies between `from_at` and `to_at`."""
    return max(0.0, min(end, to_at) - max(start, from_at)) / (end - start) if end > start else 0.0


UNIT_HASHES = 1 << 32
"""Expected hashes for a share of difficulty 1: the unit of work here, as in `credited` of the ledger."""

MOST_WORKERS = 1000
READ_SECS = 10.0
READING_SECS = 60.0
"""How often there are `counters` and `miners` lines."""

_KINDS = ("open", "counters", "miners", "share")


@dataclass(slots=True)
class WorkerHistory:
    """One worker. `work` is in shares of difficulty 1. Times are Unix seconds, 0 where nothing is known.

    `best_difficulty` is that of its best share, `best_of_run` the same since the daemon's last start.
    """

    work: Series = field(default_factory=Series)
    last_share_at: float = 0.0
    connected_at: float = 0.0
    best_difficulty: float = 0.0
    best_of_run: float = 0.0

    def share(self, at: float, hash_hex: str) -> None:
        """A share with this hash (RPC byte order, as a number)."""
        found = difficulty(max(int(hash_hex, 16), 1))
        self.last_share_at = max(self.last_share_at, at)
        self.best_difficulty = max(self.best_difficulty, found)
        self.best_of_run = max(self.best_of_run, found)


class WorkHistory:
    """Follows the ledger. Use what it holds within `current`, which reads what is new."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._read_mono = float("-inf")
        self._seq = 0
        self._line_before_at = self._line_at = 0.0
        self._run_began = False
        self._counted: dict[str, float] = {}
        self.workers: dict[str, WorkerHistory] = {}
        self.work = Series()
        self.shares = Series()
        self._own_shares = 0

    @contextmanager
    def current(self) -> Iterator[WorkHistory]:
        """Itself, brought up to date and held for this thread. Raises RecordsError."""
        with self._lock:
            if time.monotonic() - self._read_mono >= READ_SECS:
                since = time.time() - KEPT_SECS if not self._seq else 0.0
                for entry in self._ledger.follow(_KINDS, after_seq=self._seq, since=since):
                    self._seq = max(self._seq, entry["seq"])
                    self._take(entry)
                self._read_mono = time.monotonic()
            yield self

    def worker(self, name: str) -> WorkerHistory:
        """By its name in the status; an empty history if there is nothing."""
        return self.workers.get(name) or WorkerHistory()

    def _worker(self, name: str) -> WorkerHistory:
        if name not in self.workers and len(self.workers) >= MOST_WORKERS:
            return WorkerHistory()
        return self.workers.setdefault(name, WorkerHistory())

    def _take(self, entry: Mapping[str, Any]) -> None:
        """A line; what is malformed is passed over."""
        take = {"open": self._open, "counters": self._counters, "miners": self._miners, "share": self._share}
        try:
            take[entry["kind"]](entry)
        except MALFORMED:
            return

    def _open(self, entry: Mapping[str, Any]) -> None:
        self._run_began, self._line_at = True, float(entry["at"])
        self._counted.clear()
        for worker in self.workers.values():
            worker.best_of_run = 0.0

    def _counters(self, entry: Mapping[str, Any]) -> None:
        """Counters begin at 0 with the run. Where its start is out of sight the first line says nothing."""
        at, credited = float(entry["at"]), entry.get("credited", {})
        units = {name: hashes / UNIT_HASHES for name, hashes in entry["counters"].items()}
        units |= {name: units.get(name, 0.0) + float(more) for name, more in credited.items()}
        if self._run_began:
            total = 0.0
            for name, now in units.items():
                gained = max(0.0, now - self._counted.get(name, 0.0))
                self._worker(name).work.add(self._line_at, at, gained)
                total += gained
            self.work.add(self._line_at, at, total)
            self.shares.add(self._line_at, at, self._own_shares)
        self._own_shares = 0
        self._run_began, self._line_before_at, self._line_at = True, self._line_at, at
        self._counted.update(units)

    def _miners(self, entry: Mapping[str, Any]) -> None:
        at, total = float(entry["at"]), 0
        for row in [*entry["miners"], *([entry["others"]] if "others" in entry else [])]:
            shares = int(row.get("shares", 0))
            total += shares
            if "worker" not in row:
                continue
            worker = self._worker(row["worker"])
            if row.get("connects"):
                worker.connected_at = at
            if shares and row.get("best"):
                worker.share(at, row["best"])
        self.shares.add(self._line_before_at if self._line_at == at else at - READING_SECS, at, total)

    def _share(self, entry: Mapping[str, Any]) -> None:
        name, at = entry["worker"], float(entry["at"])
        if not entry["stale"]:
            self._worker(name).share(at, entry["hash"])
            if not name.startswith("stratum/"):  # those of miners are in the sums too
                self._own_shares += 1
