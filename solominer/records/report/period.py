"""Reports of an hour, day, week, month or year, or of everything."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from solominer.errors import RecordsError
from solominer.insight.estimate import from_counters
from solominer.records.evidence.state import READABLE, load_state, read_report
from solominer.records.report.errors_log import SEVERITIES
from solominer.records.report.formats import duration, hashes_text, interval, odds, short
from solominer.records.report.miners_view import miners_fragment
from solominer.records.report.page import page
from solominer.records.report.rollup import Rollup, day_of, load_day
from solominer.records.report.searched import search_fragment
from solominer.records.report.text import report_text
from solominer.records.tree import Part, Tree

_WEEK = re.compile(r"(\d{4})-W(\d\d)")
_NONE_YET = "the first one is written at the end of the hour"
_NAMES = {4: "year", 7: "month", 10: "day"}
_ADVICE = "use 2026, 2026-11, 2026-W47, 2026-11-21, 2026-11-21-07, latest, or all"


def period_report(tree: Tree, network: str, period: str) -> dict[str, Any]:
    """The roll-up of a period as JSON values: `2026`, `2026/11` (or `2026-11`), `2026-W47`, `2026/11/21` or `all`.

    Raises RecordsError for another form, or if there is no report.
    """
    wanted = _matcher(period)
    by_day: dict[str, list[Part]] = {}
    for part in tree.parts("reports"):
        day = day_of(part)
        if wanted(day):
            by_day.setdefault(day, []).append(part)
    total = Rollup()
    for day, parts in sorted(by_day.items()):
        total.add(load_day(tree, day, parts))
    if not total.parts:
        raise RecordsError(f"there is no report of {period}", _kept(tree))
    return total.document(network, period)


def hour_report(tree: Tree, period: str) -> dict[str, Any] | None:
    """The report of one part (`2026/11/21/07`, `latest`), or None if `period` is a longer one.

    Raises RecordsError if there is no such report.
    """
    path = period.replace("-", "/") if "-W" not in period else period
    if period == "latest":
        head = load_state(tree).head
        if head is None:
            raise RecordsError("there is no report yet", _NONE_YET)
        path = head.part.path
    if path.count("/") != 3:
        return None
    report = read_report(tree, Part.parse(path))
    if report is None:
        raise RecordsError(f"there is no report of {path}", _kept(tree))
    if report.get("schema") not in READABLE:
        raise RecordsError(
            f"the report of {path} has schema {report.get('schema')!r:.40}",
            f"this version reads {' and '.join(READABLE)}; use the version of solominer that wrote it",
        )
    return report


def _kept(tree: Tree) -> str:
    """Advice: which reports there are."""
    parts = tree.parts("reports")
    return f"there are reports from {parts[0].path} to {parts[-1].path}; {_ADVICE}" if parts else _NONE_YET


def render(tree: Tree, network: str, period: str, form: str = "text", stylesheet: str = "") -> str:
    """The report of a period as `text`, `json` or `html` (see `page.page` for `stylesheet`). Raises RecordsError."""
    try:
        return _render(tree, network, period, form, stylesheet)
    except (LookupError, TypeError, AttributeError) as error:
        raise RecordsError(
            f"the report of {period} lacks the field {error}", f"check it: solominer verify {tree.root}"
        ) from error


def _render(tree: Tree, network: str, period: str, form: str, stylesheet: str) -> str:
    hour = hour_report(tree, period)
    if hour is not None:
        if form == "json":
            return orjson.dumps(hour, option=orjson.OPT_INDENT_2).decode()
        if form == "text":
            return report_text(hour) + _continued(tree, Part.parse(hour["part"]))
        rollup = Rollup()
        rollup.add_report(hour, "")
        more = miners_fragment(hour.get("miners")) + search_fragment(hour["search"])
        return page(network, period, rollup.document(network, period), report_text(hour), more, stylesheet)
    document = period_report(tree, network, period)
    if form == "json":
        return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    text = period_text(document)
    return text if form == "text" else page(network, period, document, text, stylesheet=stylesheet)


def _continued(tree: Tree, part: Part) -> str:
    """Where the hour goes on, if it was opened again; '' otherwise."""
    again = Part(part.start, part.repeat + 1)
    if not (tree.folder("reports", again) / "report.json").is_file():
        return ""
    return f"goes on    in {again.path.replace('/', '-')}: the hour was opened again, as after a restart\n"


def _matcher(period: str) -> Any:
    """A function that says whether a day (`YYYY/MM/DD`) belongs to the period. Raises RecordsError."""
    if period == "all":
        return lambda day: True
    week = _WEEK.fullmatch(period)
    if week is not None:
        try:
            monday = datetime.fromisocalendar(int(week[1]), int(week[2]), 1).replace(tzinfo=UTC)
        except ValueError:
            raise RecordsError(f"there is no week {period}", _ADVICE) from None
        days = {(monday + timedelta(days=number)).strftime("%Y/%m/%d") for number in range(7)}
        return lambda day: day in days
    prefix = period.replace("-", "/")
    if not re.fullmatch(r"\d{4}(/\d\d){0,2}", prefix):
        raise RecordsError(f"{period!r:.40} is not a period", _ADVICE)
    try:
        datetime.strptime(prefix + "/01/01"[: 10 - len(prefix)], "%Y/%m/%d").replace(tzinfo=UTC)
    except ValueError:
        raise RecordsError(f"there is no {_NAMES[len(prefix)]} {period}", _ADVICE) from None
    return lambda day: day == prefix or day.startswith(f"{prefix}/")


def period_text(document: dict[str, Any]) -> str:
    """The report of a longer period as plain text."""
    sums, best = document["sums"], document["best"]
    parts = len(document["parts"])
    points = [point for point in document["points"] if point["uptime_secs"] > 0]
    samples = [(point["hashes"] + point["credited_hashes"], point["uptime_secs"]) for point in points]
    lines = [
        f"=== {document['network']} {document['period']} · {parts:,} report{'s' * (parts != 1)} " + "=" * 20,
        f"{document['from']} to {document['to']}, up {duration(sums['uptime_secs'])}",
        f"hashes     {hashes_text(sums['hashes'], sums['credited_hashes'])}",
    ]
    if samples:
        rate = interval(from_counters(samples))
        bounds = "" if rate["high"] is None else f" (95%: {short(rate['low'] or 0)}H/s to {short(rate['high'])}H/s)"
        lines[-1] += f", {short(rate['value'] or 0)}H/s{bounds}"
    lines += [
        f"shares     {sums['shares']:,} found, {sums['expected_shares']:,.1f} expected, {sums['stale_shares']:,} stale",
        f"evidence   {sums['mismatches_flagged']:,.0f} hours in which shares and counted hashes disagree",
        f"best       {'no share' if best is None else 'difficulty ' + short(best['difficulty']).strip()}",
        f"work       {sums['tips']:,} tips, {sums['templates']:,} templates, {sums['jobs']:,} jobs,"
        f" {duration(sums['stale_secs'])} on stale tips",
        f"blocks     {sums['blocks_found']:,} found, {sums['expected_blocks']:.3g} expected",
        "errors     " + ", ".join(f"{sums[f'errors_{severity}']:,} {severity}" for severity in SEVERITIES),
        f"chance     of a block by this period's work: {odds(document['chance_of_a_block'])}",
    ]
    return "\n".join(lines) + "\n"
