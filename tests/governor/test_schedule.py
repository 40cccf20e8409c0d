"""The schedule: what it says at each moment, at midnights, over midnight, and when clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.config.hours import is_within, parse_hours
from solominer.governor.schedule import MOST_RANDOM_BLOCKS, RunProgress, Schedule, blocks_on, schedule_at

SATURDAY = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
STARTED = RunProgress()


def at(hour: int, minute: int = 0, day: int = 21) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_nothing_set_never_pauses() -> None:
    assert Schedule().is_always
    assert schedule_at(Schedule(), SATURDAY + timedelta(days=9999), STARTED).pause == ""


def test_days_end_the_run_to_the_second() -> None:
    schedule = Schedule(days=2)
    assert not schedule_at(schedule, SATURDAY, RunProgress(2 * 86_400 - 1)).over
    assert schedule_at(schedule, SATURDAY, RunProgress(2 * 86_400)).over


@pytest.mark.parametrize("years", [-5, 5])
def test_a_step_of_the_clock_neither_ends_the_run_nor_holds_the_pace(years: int) -> None:
    now = SATURDAY + timedelta(days=365 * years)
    assert not schedule_at(Schedule(days=2), now, RunProgress(running_secs=60)).over
    schedule = Schedule(block_interval_secs=600)
    assert schedule_at(schedule, now, RunProgress(60, 1, since_block_secs=600)).pause == ""
    assert schedule_at(schedule, now, RunProgress(60, 1, since_block_secs=590)).until == now + timedelta(seconds=10)


@pytest.mark.parametrize(("days_week", "mines"), [(7, True), (6, True), (5, False), (1, False)])
def test_days_of_the_week_begin_on_monday(days_week: int, mines: bool) -> None:
    state = schedule_at(Schedule(days_week=days_week), SATURDAY, STARTED)
    assert (state.pause == "") is mines
    if not mines:
        assert state.until == at(0, day=22)


@pytest.mark.parametrize(
    ("text", "now", "inside"),
    [
        ("22:00-06:00", at(23), True),
        ("22:00-06:00", at(5, 59), True),
        ("22:00-06:00", at(6), False),
        ("22:00-06:00", at(21, 59), False),
        ("08:00-24:00", at(23, 59), True),
        ("00:00-01:00,12:00-13:00", at(12, 30), True),
        ("00:00-01:00,12:00-13:00", at(11, 59), False),
    ],
)
def test_mining_hours(text: str, now: datetime, inside: bool) -> None:
    assert is_within(parse_hours(text), now) is inside
    assert (schedule_at(Schedule(hours=parse_hours(text)), now, STARTED).pause == "") is inside


def test_pause_says_until_when() -> None:
    schedule = Schedule(hours=parse_hours("22:00-06:00,12:00-13:00"))
    assert schedule_at(schedule, at(8), STARTED).until == at(12)
    assert schedule_at(schedule, at(13), STARTED).until == at(22)


@pytest.mark.parametrize("text", ["", "8-9", "24:00-01:00", "10:60-11:00", "10:00-10:00", "10:00-24:01", "a,b"])
def test_hours_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match=r"must have the form|outside 00:00-24:00"):
        parse_hours(text)


@given(st.integers(0, 1439), st.integers(1, 1440), st.integers(0, 1439))
def test_a_range_and_the_rest_of_the_day_are_opposites(start: int, end: int, minute: int) -> None:
    now = SATURDAY.replace(hour=minute // 60, minute=minute % 60)
    if start != end % 1440:
        assert is_within(((start, end),), now) is not is_within(((end % 1440, start or 1440),), now)


def test_blocks_per_day() -> None:
    schedule = Schedule(blocks_per_day=3)
    assert schedule_at(schedule, at(9), RunProgress(blocks_today=2)).pause == ""
    state = schedule_at(schedule, at(9), RunProgress(blocks_today=3))
    assert state.pause == "today's limit of 3 blocks is reached"
    assert state.until == at(0, day=22)


def test_random_blocks_are_the_same_all_day_and_differ_between_days() -> None:
    schedule = Schedule(blocks_per_day="random")
    drawn = [blocks_on(schedule, SATURDAY + timedelta(days=day), seed=7) for day in range(60)]
    assert blocks_on(schedule, at(23, 59), 7) == drawn[0]
    assert all(number is not None and 1 <= number <= MOST_RANDOM_BLOCKS for number in drawn)
    assert len(set(drawn)) > 5


def test_block_interval() -> None:
    schedule = Schedule(block_interval_secs=600)
    assert schedule_at(schedule, SATURDAY, STARTED).pause == ""
    state = schedule_at(schedule, SATURDAY, RunProgress(700, 1, 599))
    assert state.pause == "the block interval has not passed"
    assert state.until == SATURDAY + timedelta(seconds=1)
    assert schedule_at(schedule, SATURDAY, RunProgress(700, 1, 600)).pause == ""


def test_a_day_that_has_25_hours() -> None:
    """Clocks go back on 25 October 2026 in Berlin: midnight is still the next local midnight."""
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 10, 25, 1, 30, tzinfo=berlin)
    state = schedule_at(Schedule(hours=parse_hours("02:00-03:00")), now, RunProgress())
    assert state.until == datetime(2026, 10, 25, 2, 0, tzinfo=berlin)
    full = schedule_at(Schedule(blocks_per_day=1), now, RunProgress(blocks_today=1))
    assert full.until == datetime(2026, 10, 26, 0, 0, tzinfo=berlin)
