"""Sums of hourly reports over longer periods, and one point per hour for plots.

A finished day is written once as `reports/YYYY/MM/DD/day.json` and listed in the manifest of the hour that writes it.
Weeks, months and years are summed from days on demand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from solominer.records.evidence.state import read_report, read_seal
from solominer.records.files import is_regular, read_bounded
from solominer.records.ledger.jsonlines import MALFORMED, parse_object, pretty_json, read_object
from solominer.records.report.errors_log import SEVERITIES
from solominer.records.tree import Part, Tree

SCHEMA = "solominer-rollup/2"
DAY_FILE = "day.json"

_SUMS = {
    "uptime_secs": ("uptime_secs",),
    "hashes": ("hashes", "counted"),
    "credited_hashes": ("hashes", "credited"),
    "shares": ("shares", "found"),
    "credited_shares": ("shares", "credited"),
    "expected_shares": ("shares", "expected"),
    "stale_shares": ("shares", "stale"),
    "blocks_found": ("blocks", "found"),
    "expected_blocks": ("chance", "expected_blocks"),
    "stale_secs": ("stale_secs",),
    "tips": ("work", "tip"),
    "templates": ("work", "template"),
    "jobs": ("work", "job"),
    **{f"errors_{severity}": ("errors", severity) for severity in SEVERITIES},
    "mismatches_flagged": ("evidence", "mismatch", "flagged"),
}


@dataclass(slots=True)
class Rollup:
    """Sums over reports. `parts` maps each part to its report's SHA-256; `points` has one row per hour."""

    parts: dict[str, str] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    first: str | None = None
    last: str | None = None
    points: list[dict[str, Any]] = field(default_factory=list)

    def add_report(self, report: Mapping[str, Any], sha256_hex: str) -> None:
        """Add an hour. Raises KeyError or TypeError if it is not a report."""
        self.parts[report["part"]] = sha256_hex
        for name, path in _SUMS.items():
            value: Any = report
            for key in path:
                value = value[key] if value is not None else 0
            self._sum(name, value or 0)
        self._best(report["best"]["hour"])
        self._span(report["from"], report["to"])
        rate, tips = report["hashes"]["rate_hps"], report["latency"].get("tip_to_stop")
        self.points.append(
            {
                "part": report["part"],
                "rate_hps": None if rate is None else round(rate["value"], 3),
                "uptime_secs": report["uptime_secs"],
                "hashes": report["hashes"]["counted"],
                "credited_hashes": report["hashes"]["credited"],
                "shares": report["shares"]["found"] - report["shares"]["credited"],
                "expected_shares": report["shares"]["expected"],
                "min_p_value": report["search"]["min_p_value"],
                "tip_p99_secs": None if tips is None else tips["p99_secs"],
                "best_difficulty": None if report["best"]["hour"] is None else report["best"]["hour"]["difficulty"],
            }
        )

    def add(self, other: Rollup) -> None:
        """Add another roll-up."""
        self.parts |= other.parts
        for name, value in other.sums.items():
            self._sum(name, value)
        self._best(other.best)
        self._span(other.first, other.last)
        self.points += other.points

    def _sum(self, name: str, value: float) -> None:
        self.sums[name] = self.sums.get(name, 0) + value

    def _best(self, best: dict[str, Any] | None) -> None:
        if best is not None and (self.best is None or best["hash"] < self.best["hash"]):
            self.best = best

    def _span(self, first: str | None, last: str | None) -> None:
        self.first = min(filter(None, (self.first, first)), default=None)
        self.last = max(filter(None, (self.last, last)), default=None)

    def document(self, network: str, period: str) -> dict[str, Any]:
        """The content of `day.json` (docs/schemas/rollup.schema.json)."""
        chance = -math.expm1(-self.sums.get("expected_blocks", 0.0))
        return {
            "schema": SCHEMA,
            "network": network,
            "period": period,
            "from": self.first,
            "to": self.last,
            "sums": self.sums,
            "chance_of_a_block": chance,
            "best": self.best,
            "points": self.points,
            "parts": self.parts,
        }


def from_document(document: Mapping[str, Any]) -> Rollup:
    """The inverse of `Rollup.document`. Raises KeyError or TypeError."""
    if document["schema"] != SCHEMA:
        raise KeyError("schema")
    return Rollup(
        parts=dict(document["parts"]),
        sums=dict(document["sums"]),
        best=document["best"],
        first=document["from"],
        last=document["to"],
        points=list(document["points"]),
    )


def from_reports(tree: Tree, parts: Iterable[Part]) -> Rollup:
    """The roll-up of hourly reports; unreadable ones are skipped (the verifier reports them)."""
    rollup = Rollup()
    for part in parts:
        report, digest = read_report(tree, part), read_seal(tree, part)
        if report is not None and digest is not None:
            try:
                one = Rollup()
                one.add_report(report, digest)
                rollup.add(one)
            except MALFORMED:
                continue
    return rollup


def day_of(part: Part) -> str:
    """The part's day, `YYYY/MM/DD`."""
    return part.path[:10]


def write_day(tree: Tree, network: str, newest: Part) -> list[str]:
    """Write the roll-up of the day that ended with `newest`, the last sealed part. Returns its path in a list.

    The list is empty if the day already has one without `newest` (the clock was set back to it). A file with `newest`
    was left by an interrupted sealing and is reused. Raises OSError.
    """
    day = day_of(newest)
    path = f"reports/{day}/{DAY_FILE}"
    file = tree.root / path
    if is_regular(file):
        document = parse_object(read_bounded(file))
        kept = (document or {}).get("parts")
        return [path] if isinstance(kept, dict) and newest.path in kept else []
    parts = [part for part in tree.parts("reports") if day_of(part) == day]
    tree.write(path, pretty_json(from_reports(tree, parts).document(network, day)))
    return [path]


def load_day(tree: Tree, day: str, parts: list[Part]) -> Rollup:
    """The day's roll-up: from day.json if that covers exactly the sealed reports, else recomputed."""
    document = read_object(tree.root / "reports" / day / DAY_FILE)
    if document is not None:
        with suppress(*MALFORMED):
            kept = from_document(document)
            if kept.parts == {part.path: read_seal(tree, part) for part in parts}:
                return kept
    return from_reports(tree, parts)
