"""When to mine: days, weekdays, hours, blocks per day, a block interval. Pure: times in, reasons to pause out.

Weekdays, hours and the days of `blocks_per_day` are in the machine's local time (`datetime` with its zone); a day
begins at local midnight. Durations use a monotonic clock, so a step of the wall clock does not end the run.
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
    """`days`: the run's length (None: unlimited). `days_week`: weekdays from Monday on. `hours`: (start, end), minutes
    of the day, empty for all day; one that ends before it starts crosses midnight. `blocks_per_day`: None for no limit.
    `block_interval_secs`: minimum time between blocks."""

    days: int | None = None
    days_week: int = 7
    hours: tuple[tuple[int, int], ...] = ()
    blocks_per_day: int | Literal["random"] | None = None
    block_interval_secs: float | None = None

    @property
    def is_always(self) -> bool:
        """Whether it never pauses or ends the run."""
        return self == Schedule()


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The run's duration, today's blocks, and the time since the last block (None: no block in this run).

    Durations are by a monotonic clock.
    """

    running_secs: float = 0.0
    blocks_today: int = 0
    since_block_secs: float | None = None


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """`over`: the run has reached its end. `pause`: the reason to pause, or ''. `until`: when that may change."""

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
    """The schedule's state at `now`. `seed` determines the random numbers of blocks, one for each day."""
    if schedule.days is not None and progress.running_secs >= schedule.days * _SECS_A_DAY:
        return ScheduleState(over=True)
    midnight = _next_midnight(now)
    if now.weekday() >= schedule.days_week:
        return ScheduleState(pause="not a mining day", until=midnight)
    if schedule.hours and not is_within(schedule.hours, now):
        return ScheduleState(pause="outside the mining hours", until=_next_start(schedule.hours, now))
    limit = blocks_on(schedule, now, seed)
    if limit is not None and progress.blocks_today >= limit:
        return ScheduleState(pause=f"today's limit of {limit} blocks is reached", until=midnight)
    if schedule.block_interval_secs is not None and progress.since_block_secs is not None:
        wait_secs = schedule.block_interval_secs - progress.since_block_secs
        if wait_secs > 0:
            return ScheduleState(pause="the block interval has not passed", until=now + timedelta(seconds=wait_secs))
    return ScheduleState()


def blocks_on(schedule: Schedule, day: datetime, seed: int) -> int | None:
    """The maximum number of blocks on that day; None for no limit."""
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
