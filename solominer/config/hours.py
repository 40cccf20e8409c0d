"""Hours of the day as people write them, `22:00-06:00,12:00-13:00`, and whether a time lies in them."""

from __future__ import annotations

import re
from datetime import datetime

_RANGE = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_MINUTES_A_DAY = 24 * 60


def parse_hours(text: str) -> tuple[tuple[int, int], ...]:
    """`22:00-06:00,12:00-13:00` as minutes of the day. Raises ValueError that says what is wrong."""
    ranges = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        numbers = [int(group) for group in match.groups()] if match else []
        if not numbers or numbers[1] > 59 or numbers[3] > 59:
            raise ValueError("is not of the form 22:00-06:00,12:00-13:00")
        start, end = 60 * numbers[0] + numbers[1], 60 * numbers[2] + numbers[3]
        if start >= _MINUTES_A_DAY or end > _MINUTES_A_DAY or start == end:
            raise ValueError("has hours that do not lie within 00:00 and 24:00, or are empty")
        ranges.append((start, end))
    return tuple(ranges)


def is_within(hours: tuple[tuple[int, int], ...], now: datetime) -> bool:
    """Whether `now` lies in one of the ranges; the end of a range is outside it."""
    minute = 60 * now.hour + now.minute
    return any(start <= minute < end if start < end else (minute >= start or minute < end) for start, end in hours)
