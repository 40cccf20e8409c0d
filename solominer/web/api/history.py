"""Hash rate, shares and best difficulty over time, for charts."""

from __future__ import annotations

import math
import time
from enum import StrEnum

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from solominer.insight.estimate import Estimate, from_counters
from solominer.records.tree import HOUR_SECS
from solominer.web.hours import HourPoint, Hours, point_of
from solominer.web.live import Live
from solominer.web.minutes import MINUTE_SECS, Minutes
from solominer.web.problems import REFUSALS
from solominer.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["history"], responses=REFUSALS)

HOUR_SPAN_MINUTES = 60


class Span(StrEnum):
    """How far back."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"
    YEAR = "1y"


_HOURS = {Span.DAY: (24, 1), Span.WEEK: (168, 1), Span.MONTH: (720, 1), Span.YEAR: (8760, 11)}
"""(hours, hours in each point)."""


class HistoryPoint(BaseModel):
    """What happened from `at` for `step_secs`; null where there is no data.

    `shares` and `expected_shares` are those of workers that count their hashes. The rate has a 95 % interval, whose
    upper bound is null if there is none. `min_p_value` is the smallest of the tests whether the hashes are uniform,
    corrected for their number.
    """

    at: int
    rate_hps: float | None = None
    rate_low_hps: float | None = None
    rate_high_hps: float | None = None
    shares: int | None = None
    expected_shares: float | None = None
    best_difficulty: float | None = None
    min_p_value: float | None = None


class History(BaseModel):
    """Points every `step_secs`, oldest first, from the first one with data."""

    span: Span
    step_secs: int
    points: list[HistoryPoint]


@router.get("/history", response_model=History)
async def history(site: TheSite, span: Span = Span.DAY) -> Response:
    """The last hour by the minute (each rate over five minutes), or longer spans by the hour, at most 800 points.

    In the last year each point covers eleven hours.
    """
    stamp = await site.live.fresh()
    now = time.time()

    def make() -> History:
        if span is Span.HOUR:
            with site.live.lock:
                return History(span=span, step_secs=MINUTE_SECS, points=_by_the_minute(site.live.tail.minutes, now))
        _, each = _HOURS[span]
        return History(span=span, step_secs=each * HOUR_SECS, points=_by_the_hour(site.live, site.hours, now, span))

    step_secs = MINUTE_SECS if span is Span.HOUR else HOUR_SECS
    return await site.answers.json(("history", span), (stamp, now // step_secs), make)


def _by_the_minute(minutes: Minutes, now: float) -> list[HistoryPoint]:
    last = int(now // MINUTE_SECS)
    points = []
    for number in range(last - HOUR_SPAN_MINUTES, last):
        minute, rate = minutes.get(number), minutes.estimate(number)
        point = HistoryPoint(at=number * MINUTE_SECS)
        if minute is not None and rate is not None:
            point = HistoryPoint(
                at=number * MINUTE_SECS,
                **_bounds(rate),
                shares=minute.shares,
                expected_shares=minute.expected_shares,
                best_difficulty=minute.best_difficulty,
            )
        points.append(point)
    return _from_first(points)


def _by_the_hour(live: Live, hours: Hours, now: float, span: Span) -> list[HistoryPoint]:
    length, each = _HOURS[span]
    step_secs = each * HOUR_SECS
    first, last = int((now - length * HOUR_SECS) // step_secs) + 1, int(now // step_secs)
    cells: dict[int, list[HourPoint]] = {}
    sealed = [part for part in hours.sealed(live.tail.state.head) if part.start >= first * step_secs]
    points = hours.points(sealed)
    report = live.report()
    if report is not None and report["why"] == "open" and (open_hour := point_of(report)) is not None:
        points.append(open_hour)
    for point in points:
        cells.setdefault(point.part.start // step_secs, []).append(point)
    return _from_first([_merged(hours, number * step_secs, cells.get(number, [])) for number in range(first, last + 1)])


def _merged(hours: Hours, at: int, cell: list[HourPoint]) -> HistoryPoint:
    if not cell:
        return HistoryPoint(at=at)
    bests = [point.best_difficulty for point in cell if point.best_difficulty is not None]
    p_values = [point.min_p_value for point in cell if point.min_p_value is not None]
    return HistoryPoint(
        at=at,
        **_rate(hours, cell),
        shares=sum(point.shares for point in cell),
        expected_shares=sum(point.expected_shares for point in cell),
        best_difficulty=max(bests, default=None),
        min_p_value=min(p_values, default=None),
    )


def _rate(hours: Hours, cell: list[HourPoint]) -> dict[str, float | None]:
    """A single hour has the interval of its own readings, several that of the hours as readings."""
    if len(cell) == 1:
        (point,) = cell
        known = point if point.rate is not None else hours.hour(point.part) or point
        value, low, high = known.rate or (None, None, None)
        return {"rate_hps": value, "rate_low_hps": low, "rate_high_hps": high}
    samples = [(point.hashes, point.secs) for point in cell if point.secs > 0]
    return _bounds(from_counters(samples)) if samples else {}


def _bounds(rate: Estimate) -> dict[str, float | None]:
    high = rate.high if math.isfinite(rate.high) else None
    return {"rate_hps": rate.value, "rate_low_hps": rate.low, "rate_high_hps": high}


def _from_first(points: list[HistoryPoint]) -> list[HistoryPoint]:
    """Without the points before the first one with data."""
    first = next((i for i, point in enumerate(points) if point.rate_hps is not None or point.shares is not None), None)
    return [] if first is None else points[first:]
