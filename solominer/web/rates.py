"""The hash rate and the difficulty that chances are computed from: the running daemon's, else the newest report's."""

from __future__ import annotations

from typing import Any, NamedTuple

from solominer.errors import RecordsError
from solominer.web.feed import DaemonFeed
from solominer.web.live import Live, Report, need


class Known(NamedTuple):
    """Null where it is not known. The rate has a 95 % interval; `live`: it is that of the last minute."""

    difficulty: float | None
    rate_hps: float | None
    low_hps: float | None
    high_hps: float | None
    live: bool


NOTHING = Known(None, None, None, None, live=False)


def told(feed: DaemonFeed) -> Known:
    """What the daemon tells; nothing while it is not running."""
    status: dict[str, Any] = (feed.status or {}) if feed.running else {}
    difficulty = status.get("network_difficulty") or None
    if not status.get("rate_hps"):
        return NOTHING._replace(difficulty=difficulty)
    return Known(difficulty, status["rate_hps"], status["rate_low_hps"], status["rate_high_hps"], live=True)


def known(live: Live, daemon: Known) -> tuple[Report | None, Known]:
    """The newest report, and what `daemon` lacks from it. Raises RecordsError, Unavailable without any record."""
    report = live.report()
    if report is None:
        return (need(report) if daemon == NOTHING else None), daemon
    try:
        rate, difficulty = report["hashes"]["rate_hps"], daemon.difficulty or report["network_difficulty"]
        if daemon.rate_hps is not None or rate is None:
            return report, daemon._replace(difficulty=difficulty)
        return report, Known(difficulty, rate["value"], rate["low"], rate["high"], live=False)
    except (LookupError, TypeError) as error:
        raise RecordsError(
            f"the report of {report.get('part')!r:.40} lacks the field {error}", "check it: solominer verify"
        ) from error
