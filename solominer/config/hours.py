"""Hours of the day such as `22:00-06:00,12:00-13:00`."""

from __future__ import annotations

import re
from datetime import datetime

_RANGE = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_MINUTES_A_DAY = 24 * 60


def parse_hours(text: str) -> tuple[tuple[int, int], ...]:
    """Parse `22:00-06:00,12:00-13:00` to (start, end) in minutes of the day. Raises ValueError."""
    ranges = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        numbers = [int(group) for group in match.groups()] if match else []
        if not numbers or numbers[1] > 59 or numbers[3] > 59:
            raise ValueError("must have the form 22:00-06:00,12:00-13:00")
        start, end = 60 * numbers[0] + numbers[1], 60 * numbers[2] + numbers[3]
        if start >= _MINUTES_A_DAY or end > _MINUTES_A_DAY or start == end:
            raise ValueError("has hours outside 00:00-24:00, or an empty range")
        ranges.append((start, end))
    return tuple(ranges)


def is_within(hours: tuple[tuple[int, int], ...], now: datetime) -> bool:
    """Whether `now` is in one of the ranges; the end of a range is excluded."""
    minute = 60 * now.hour + now.minute
    return any(start <= minute < end if start < end else (minute >= start or minute < end) for start, end in hours)
