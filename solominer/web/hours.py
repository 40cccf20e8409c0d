"""The sealed hours for charts, read once: an hour that is sealed never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from solominer.errors import RecordsError
from solominer.records.evidence.state import read_report
from solominer.records.ledger.jsonlines import MALFORMED, read_object
from solominer.records.report.rollup import DAY_FILE, SCHEMA, Rollup, day_of
from solominer.records.tree import Part, Tree

MOST_DAYS = 4_000
MOST_HOURS = 10_000


@dataclass(frozen=True, slots=True)
class HourPoint:
    """One hour; `secs` is its uptime, `hashes` are counted and credited ones.

    `rate` is (value, low, high or None) in H/s from the hour's own readings; None if it was not read or not measured.
    """

    part: Part
    secs: float
    hashes: float
    shares: int
    expected_shares: float
    best_difficulty: float | None
    min_p_value: float | None
    rate: tuple[float, float, float | None] | None = None


class Hours:
    """The hours of one network."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._parts: tuple[object, list[Part]] = (None, [])
        self._days: dict[str, tuple[tuple[Part, ...], list[HourPoint]]] = {}
        self._hours: dict[Part, HourPoint | None] = {}

    def sealed(self, stamp: object) -> list[Part]:
        """All sealed parts, oldest first; looked for again when `stamp` differs."""
        if self._parts[0] != stamp:
            self._parts = stamp, self._tree.parts("reports")
        return self._parts[1]

    def points(self, parts: Iterable[Part]) -> list[HourPoint]:
        """One point for each of these sealed parts; `rate` is known only where `hour` was asked. Skips the unreadable.

        The roll-ups of days are used as they are; `solominer verify` checks them.
        """
        by_day: dict[str, list[Part]] = {}
        for part in parts:
            by_day.setdefault(day_of(part), []).append(part)
        return [point for day, of_day in by_day.items() for point in self._day(day, tuple(of_day))]

    def hour(self, part: Part) -> HourPoint | None:
        """The point of one sealed part with its rate; None if its report cannot be read."""
        if part not in self._hours:
            if len(self._hours) >= MOST_HOURS:
                self._hours.clear()
            report = read_report(self._tree, part)
            self._hours[part] = None if report is None else point_of(report)
        return self._hours[part]

    def _day(self, day: str, parts: tuple[Part, ...]) -> list[HourPoint]:
        known = self._days.get(day)
        if known is not None and known[0] == parts:
            return known[1]
        points = self._rolled_up(day, parts)
        if points is None:
            return [point for part in parts if (point := self.hour(part)) is not None]
        if len(self._days) >= MOST_DAYS:
            self._days.clear()
        self._days[day] = parts, points
        return points

    def _rolled_up(self, day: str, parts: tuple[Part, ...]) -> list[HourPoint] | None:
        """The points of day.json if it has exactly these parts."""
        document = read_object(self._tree.root / "reports" / day / DAY_FILE)
        by_path = {part.path: part for part in parts}
        try:
            if document is None or document["schema"] != SCHEMA:
                return None
            points = [_point(by_path[row["part"]], row) for row in document["points"]]
            return points if {point.part for point in points} == set(parts) else None
        except MALFORMED:
            return None


def point_of(report: Mapping[str, Any]) -> HourPoint | None:
    """The point of a report; None if it is not one."""
    try:
        rollup = Rollup()
        rollup.add_report(report, "")
        rate = report["hashes"]["rate_hps"]
        bounds = None if rate is None else (rate["value"], rate["low"], rate["high"])
        return _point(Part.parse(report["part"]), rollup.points[0], bounds)
    except (*MALFORMED, RecordsError):
        return None


def _point(part: Part, row: Mapping[str, Any], rate: tuple[float, float, float | None] | None = None) -> HourPoint:
    return HourPoint(
        part=part,
        secs=float(row["uptime_secs"]),
        hashes=float(row["hashes"]) + float(row["credited_hashes"]),
        shares=int(row["shares"]),
        expected_shares=float(row["expected_shares"]),
        best_difficulty=None if row["best_difficulty"] is None else float(row["best_difficulty"]),
        min_p_value=None if row["min_p_value"] is None else float(row["min_p_value"]),
        rate=rate,
    )
