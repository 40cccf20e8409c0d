"""A report as one self-contained HTML page: inline SVG, no scripts, no external resources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from statistics import fmean
from typing import Any

from solominer.records.report.formats import duration, short

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 860, 220, 90, 28, 12
_MOST_POINTS = 800

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #6a737d; --line: #d0d7de; --a: #b35900; --b: #0b6bcb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #8b949e; --line: #30363d; --a: #ffa657; --b: #79c0ff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 900px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 6px; font-size: 13px }
svg { width: 100%; height: auto } svg text { fill: var(--soft); font-size: 12px }
.axis { stroke: var(--line) } .a { stroke: var(--a) } .b { stroke: var(--b); stroke-dasharray: 5 4 }
circle.a { fill: var(--b); stroke: none } circle.b { fill: var(--a); stroke: none }
table { font-size: 12px; border-collapse: collapse } td, th { padding: .2rem .5rem; text-align: left }
polyline { fill: none; stroke-width: 1.6 } p { color: var(--soft); margin: .2rem 0 }
.small { width: 70px }
@media print { body { margin: 0; max-width: none } pre { white-space: pre-wrap } svg { break-inside: avoid } }
"""


def page(
    network: str, period: str, document: Mapping[str, Any], text: str, more: str = "", stylesheet: str = ""
) -> str:
    """The HTML page of a period's roll-up (`period.period_report`) and its text; `more` is HTML appended to it.

    With `stylesheet`, the path of a file with STYLE, the page links to it; else it holds all of its style.
    """
    points = _thinned(document["points"])
    title = f"solominer · {network} · {period}"
    times = [str(point["part"]) for point in points]
    shares, expected = (list(accumulate(point[name] for point in points)) for name in ("shares", "expected_shares"))
    plots = [
        ("Hash rate", "", plot(times, [_column(points, "rate_hps")], lambda v: f"{short(v)}H/s")),
        (
            "Cumulative shares",
            "dashed: expected from the counted hashes",
            plot(times, [shares, expected], lambda v: f"{v:,.0f}"),
        ),
        ("Time from a new tip until all workers left the old one, 99th percentile", "", plot(
            times, [_column(points, "tip_p99_secs")], duration)),
        ("Best difficulty of each hour", "log scale", plot(
            times, [_column(points, "best_difficulty")], lambda v: short(v).strip(), log=True)),
        ("Are the hashes uniform?", "the hour's smallest p-value, corrected for the number of tests; log scale",
         plot(times, [_column(points, "min_p_value")], lambda v: f"{v:.2g}", log=True)),
    ]  # fmt: skip
    style = f'<link rel="stylesheet" href="{escape(stylesheet)}">' if stylesheet else f"<style>{STYLE}</style>"
    body = "".join(f"<h2>{escape(head)}</h2><p>{escape(note)}</p>{svg}" for head, note, svg in plots)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width">{style}</head>'
        f"<body><h1>{escape(title)}</h1><pre>{escape(text)}</pre>{body}{more}</body></html>\n"
    )


def plot(times: Sequence[str], series: Sequence[Sequence[float | None]], label: Any, *, log: bool = False) -> str:
    """An SVG plot of up to two series; None breaks the line. `label` formats a value."""
    values = [value for row in series for value in row if value is not None and (value > 0 or not log)]
    if not values:
        return "<p>no data</p>"
    low, high = (min(values), max(values)) if log else (0.0, max(values))
    if high <= low:
        high = low + (abs(low) or 1.0)

    def height(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    step = (_WIDTH - _LEFT - 10) / max(len(times) - 1, 1)
    lines = []
    for row, name in zip(series, "ab", strict=False):
        for start, run in _runs(row, positive=log):
            dots = " ".join(f"{_LEFT + (start + i) * step:.1f},{height(v):.1f}" for i, v in enumerate(run))
            lines.append(f'<polyline class="{name}" points="{dots}"/>')
    base = _HEIGHT - _BOTTOM
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_WIDTH}" y2="{base}"/>'
        f'<line class="axis" x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{base}"/>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 9}" text-anchor="end">{escape(label(high))}</text>'
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">{escape(label(low))}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">{escape(times[0])}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 8}" text-anchor="end">{escape(times[-1])}</text>'
        f"{''.join(lines)}</svg>"
    )


def _runs(row: Sequence[float | None], *, positive: bool) -> list[tuple[int, list[float]]]:
    """Runs without gaps, each with its first index; a single point is doubled."""
    runs: list[tuple[int, list[float]]] = []
    open_run = False
    for index, value in enumerate(row):
        if value is None or (positive and value <= 0):
            open_run = False
        elif open_run:
            runs[-1][1].append(value)
        else:
            runs.append((index, [value]))
            open_run = True
    return [(start, run if len(run) > 1 else run * 2) for start, run in runs]


def _thinned(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """At most 800 points: neighbours are merged, rates averaged, counts added, extremes kept."""
    size = math.ceil(len(points) / _MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        {
            "part": group[0]["part"],
            "rate_hps": fmean(rates) if (rates := _known(group, "rate_hps")) else None,
            "shares": sum(point["shares"] for point in group),
            "expected_shares": sum(point["expected_shares"] for point in group),
            "min_p_value": min(_known(group, "min_p_value"), default=None),
            "tip_p99_secs": max(_known(group, "tip_p99_secs"), default=None),
            "best_difficulty": max(_known(group, "best_difficulty"), default=None),
        }
        for group in groups
    ]


def _known(points: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [point[name] for point in points if point[name] is not None]


def _column(points: Sequence[Mapping[str, Any]], name: str) -> list[float | None]:
    return [point[name] for point in points]
