"""Amounts over time: exact for the last quarter of an hour, in bins of ten minutes for a week."""

from __future__ import annotations

from collections import deque

BIN_SECS = 600
RECENT_SECS = 900
KEPT_SECS = 7 * 86400
SILENT_SECS = 90.0
"""Amounts come once a minute. Rates end with the newest one, unless there was none for this long."""

_MARGIN_SECS = 300


class Series:
    """Something that was counted, such as hashes or shares. Times in Unix seconds."""

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
