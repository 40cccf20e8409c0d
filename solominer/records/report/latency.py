"""Percentiles of durations in bounded memory: a histogram with buckets 2 % wide."""

from __future__ import annotations

import math
from collections import Counter

_STEP = math.log(1.02)
_LEAST_SECS = 1e-6


class Durations:
    """Count, sum, maximum and percentiles (within 1 %) of durations from 1 µs up; at most 1,400 buckets."""

    def __init__(self) -> None:
        self.count = 0
        self.total_secs = 0.0
        self.max_secs = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, secs: float) -> None:
        """Add a duration in seconds; negative ones (a clock step) count as zero. Raises ValueError unless finite."""
        if not math.isfinite(secs):
            raise ValueError("not a duration")
        secs = max(secs, 0.0)
        self.count += 1
        self.total_secs += secs
        self.max_secs = max(self.max_secs, secs)
        self._buckets[int(math.log(min(max(secs, _LEAST_SECS), 1e6) / _LEAST_SECS) / _STEP)] += 1

    def percentile(self, percent: float) -> float:
        """The percentile in seconds; 0 if there are no durations."""
        wanted = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(self.max_secs, _LEAST_SECS * math.exp((bucket + 0.5) * _STEP))
        return 0.0

    def summary(self) -> dict[str, float | int]:
        """Rounded, for the report."""
        return {
            "count": self.count,
            "p50_secs": round(self.percentile(50), 6),
            "p90_secs": round(self.percentile(90), 6),
            "p99_secs": round(self.percentile(99), 6),
            "max_secs": round(self.max_secs, 6),
            "total_secs": round(self.total_secs, 3),
        }
