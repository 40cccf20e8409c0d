"""The summary of a day or a week, from the sealed reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from solominer.errors import RecordsError
from solominer.records.report.formats import hashes_text, odds
from solominer.records.report.period import period_report
from solominer.records.tree import Tree
from solominer.views.text import difficulty_text, duration
from solominer.web.alerts.state import Alert

HOUR = 6
"""UTC hour from which the last day, and on Monday the last week, is summed up: its last hour has long been sealed."""


def due(at: float, last: str, *, weekly: bool) -> str | None:
    """The period that is due at `at` (Unix seconds): `2026/11/28` or `2026-W47`; None if `last` is that period."""
    moment = datetime.fromtimestamp(at, UTC) - timedelta(hours=HOUR)
    if weekly:
        year, week, _ = (moment - timedelta(days=7)).isocalendar()
        period = f"{year}-W{week:02d}"
    else:
        period = (moment - timedelta(days=1)).strftime("%Y/%m/%d")
    return None if period == last else period


def digest(tree: Tree, network: str, period: str, at: float) -> Alert | None:
    """The summary; None if there is no report of the period."""
    try:
        report = period_report(tree, network, period)
    except RecordsError:
        return None
    sums, best = report["sums"], report["best"]
    hashes = hashes_text(sums.get("hashes", 0), sums.get("credited_hashes", 0))
    best_text = "" if best is None else f", best {difficulty_text(best['difficulty'])}"
    text = (
        f"{duration(sums.get('uptime_secs', 0))} of mining, {hashes}, {sums.get('shares', 0):,} shares{best_text}. "
        f"{sums.get('blocks_found', 0)} blocks found; the chance of one was {odds(report['chance_of_a_block'])}. "
        f"{sums.get('errors_critical', 0) + sums.get('errors_high', 0)} serious errors."
    )
    fields = {"period": period, "sums": sums}
    return Alert("digest", period, at, f"solominer, {period}", text, 2, fields=fields)
