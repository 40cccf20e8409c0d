"""When to mine: days, weekdays, hours, a number of blocks a day, a pace. Pure: times in, reasons to pause out.

Weekdays, hours and days with a number of blocks go by the machine's local time (`datetime` with its zone); a day begins
at local midnight. How long the run and the pace last goes by a monotonic clock: a step of the wall clock ends no run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

from solominer.config.hours import is_within, parse_hours
from solominer.config.steering import ScheduleConfig

_SECS_A_DAY = 86_400
MOST_RANDOM_BLOCKS = 12


@dataclass(frozen=True, slots=True)
class Schedule:
    """`days`: the run's length, None for ever. `days_week`: Monday and the next ones. `hours`: (start, end) minutes of
    the day, empty for all of them; one that ends before it starts goes over midnight. `blocks_per_day`: None for no
    limit. `block_interval_secs`: least time from one block to the next."""

    days: int | None = None
    days_week: int = 7
    hours: tuple[tuple[int, int], ...] = ()
    blocks_per_day: int | Literal["random"] | None = None
    block_interval_secs: float | None = None

    @property
    def is_always(self) -> bool:
        """Whether nothing is ever paused or ended by it."""
        return self == Schedule()


@dataclass(frozen=True, slots=True)
class RunProgress:
    """What has happened: how long the run lasts, today's blocks, seconds since the last one (None: none in this run).

    Seconds are of a monotonic clock.
    """

    running_secs: float = 0.0
    blocks_today: int = 0
    since_block_secs: float | None = None


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """`over`: the run has reached its end. `pause`: why not to hash now, or ''. `until`: when that may change."""

    over: bool = False
    pause: str = ""
    until: datetime | None = None


def schedule_of(config: ScheduleConfig) -> Schedule:
    """The schedule in a configuration."""
    return Schedule(
        days=None if config.days == "forever" else config.days,
        days_week=config.days_week,
        hours=parse_hours(config.hours) if config.hours else (),
        blocks_per_day=None if config.blocks_per_day == "all" else config.blocks_per_day,
        block_interval_secs=config.block_interval_secs,
    )


def schedule_at(schedule: Schedule, now: datetime, progress: RunProgress, seed: int = 0) -> ScheduleState:
    """What the schedule says at `now`. `seed` draws the random numbers of blocks, the same ones on the same day."""
    if schedule.days is not None and progress.running_secs >= schedule.days * _SECS_A_DAY:
        return ScheduleState(over=True)
    midnight = _next_midnight(now)
    if now.weekday() >= schedule.days_week:
        return ScheduleState(pause="no mining day", until=midnight)
    if schedule.hours and not is_within(schedule.hours, now):
        return ScheduleState(pause="outside the mining hours", until=_next_start(schedule.hours, now))
    limit = blocks_on(schedule, now, seed)
    if limit is not None and progress.blocks_today >= limit:
        return ScheduleState(pause=f"{limit} blocks found today", until=midnight)
    if schedule.block_interval_secs is not None and progress.since_block_secs is not None:
        wait_secs = schedule.block_interval_secs - progress.since_block_secs
        if wait_secs > 0:
            return ScheduleState(pause="the next block is not due", until=now + timedelta(seconds=wait_secs))
    return ScheduleState()


def blocks_on(schedule: Schedule, day: datetime, seed: int) -> int | None:
    """How many blocks that day may bring; None for no limit."""
    if schedule.blocks_per_day != "random":
        return schedule.blocks_per_day
    drawn = sha256(f"{seed} {day.date().isoformat()}".encode()).digest()
    return 1 + int.from_bytes(drawn[:8], "big") % MOST_RANDOM_BLOCKS


def _next_midnight(now: datetime) -> datetime:
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def _next_start(hours: tuple[tuple[int, int], ...], now: datetime) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [midnight + timedelta(days=day, minutes=start) for day in (0, 1) for start, _ in hours]
    return min(start for start in starts if start > now)
