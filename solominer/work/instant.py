"""A point in time on the wall clock and on the monotonic clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import total_ordering


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Instant:
    """`wall` is Unix seconds, for names, records and header times; `mono` is monotonic seconds.

    Arithmetic and order use only `mono`, so a step of the wall clock affects no duration, deadline or age.
    """

    wall: float
    mono: float

    def __add__(self, secs: float) -> Instant:
        """The instant `secs` later."""
        return Instant(self.wall + secs, self.mono + secs)

    def __sub__(self, earlier: Instant) -> float:
        """Seconds since `earlier`."""
        return self.mono - earlier.mono

    def __eq__(self, other: object) -> bool:
        return self.mono == other.mono if isinstance(other, Instant) else NotImplemented

    def __lt__(self, other: Instant) -> bool:
        return self.mono < other.mono

    def __hash__(self) -> int:
        return hash(self.mono)


Clock = Callable[[], Instant]
"""Reads both clocks at once."""
