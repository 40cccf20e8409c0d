"""The odds of a block, luck so far, and the forecast as far as the records know it."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, NamedTuple

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from solominer.errors import RecordsError
from solominer.insight.odds import (
    DAY_SECS,
    HOUR_SECS,
    YEAR_SECS,
    Luck,
    block_chance,
    hashes_at_difficulty,
    luck,
    median_wait_secs,
)
from solominer.insight.outlook import Miner, outlook, outlook_document
from solominer.records.report.report import MIN_HASHES_PER_SHARE
from solominer.web.feed import DaemonFeed
from solominer.web.live import Live, Report, need
from solominer.web.problems import REFUSALS
from solominer.web.site import Site, TheSite


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


router = APIRouter(prefix="/api/v1", tags=["odds"], responses=REFUSALS)


class Odds(BaseModel):
    """The chance of a block from hashes to come, and luck so far. Past work does not raise the chance.

    The rate is that of the last minute while the daemon runs (`rate_is_live`), else that of the newest hour. Chances
    are at today's difficulty. `expected_blocks` and `blocks_found` are since `since` (UTC); `luck` is found over
    expected and `luck_p_value` two-sided; null where nothing was expected, in demo mode, where blocks do not count, and
    where blocks are so easy that a kernel does not report all that it finds (regtest).
    """

    at: float
    network_difficulty: float | None
    rate_hps: float | None
    rate_low_hps: float | None
    rate_high_hps: float | None
    rate_is_live: bool
    chance_per_hour: float | None
    chance_per_day: float | None
    chance_per_year: float | None
    expected_secs_per_block: float | None
    median_secs_to_block: float | None
    since: str | None
    hashes: float
    expected_blocks: float
    blocks_found: int
    luck: float | None
    luck_p_value: float | None


@router.get("/odds", response_model=Odds)
async def odds(site: TheSite) -> Response:
    """The odds of a block, and luck so far."""
    stamp, daemon = await site.live.fresh(), told(site.feed)
    return await site.answers.json("odds", (stamp, daemon), lambda: _odds(site, daemon))


def _odds(site: Site, daemon: Known) -> Odds:
    report, seen = known(site.live, daemon)
    totals = {} if report is None else report["totals"]
    expected, found = float(totals.get("expected_blocks", 0.0)), int(totals.get("blocks_found", 0))
    easy = seen.difficulty is not None and hashes_at_difficulty(seen.difficulty) < MIN_HASHES_PER_SHARE
    judged: Luck | None = luck(found, expected) if expected > 0 and not site.setup.simulated and not easy else None
    return Odds(
        at=time.time(),
        network_difficulty=seen.difficulty,
        rate_hps=seen.rate_hps,
        rate_low_hps=seen.low_hps,
        rate_high_hps=seen.high_hps,
        rate_is_live=seen.live,
        **_chances(seen.rate_hps or 0.0, seen.difficulty or 0.0),
        since=totals.get("since"),
        hashes=float(totals.get("hashes", 0)) + float(totals.get("credited_hashes", 0.0)),
        expected_blocks=expected,
        blocks_found=found,
        luck=None if judged is None else judged.ratio,
        luck_p_value=None if judged is None else judged.p_value,
    )


def _chances(rate_hps: float, difficulty: float) -> dict[str, float | None]:
    if not rate_hps or not difficulty:
        names = ("chance_per_hour", "chance_per_day", "chance_per_year")
        return dict.fromkeys((*names, "expected_secs_per_block", "median_secs_to_block"))
    waits = hashes_at_difficulty(difficulty) / rate_hps, median_wait_secs(rate_hps, difficulty)
    mean, median = (wait if math.isfinite(wait) else None for wait in waits)
    return {
        "chance_per_hour": block_chance(rate_hps, difficulty, HOUR_SECS),
        "chance_per_day": block_chance(rate_hps, difficulty, DAY_SECS),
        "chance_per_year": block_chance(rate_hps, difficulty, YEAR_SECS),
        "expected_secs_per_block": mean,
        "median_secs_to_block": median,
    }


NEEDS_NODE = "the headers of the node are not in the records: `solominer forecast` reads them"


class EstimateAt(BaseModel):
    """A value with its interval of confidence `level`; null: no bound."""

    value: float | None
    low: float | None
    high: float | None
    level: float


class HorizonChance(BaseModel):
    """The chance of at least one block within an `hour`, a `day` or a `year`."""

    horizon: str
    at_todays_difficulty: float
    over_difficulties_to_come: EstimateAt | None
    electricity: float | None


class Forecast(BaseModel):
    """The fields of `solominer forecast --json`; `needs_node` names those that only the node's headers can fill."""

    at: float
    height: int | None
    tip_time: int | None
    difficulty: float
    retarget: dict[str, Any] | None
    why_no_retarget: str
    network_hps: dict[str, EstimateAt]
    chances_of_a_block: list[HorizonChance]
    median_wait_secs: float | None
    cost_per_block: float | None
    miner_hps: float | None
    price: dict[str, Any] | None
    needs_node: list[str]


@router.get("/forecast", response_model=Forecast)
async def forecast(site: TheSite) -> Response:
    """The chances of a block at today's difficulty. The next retarget needs the node: `solominer forecast`."""
    stamp, daemon = await site.live.fresh(), told(site.feed)
    return await site.answers.json("forecast", (stamp, daemon), lambda: _forecast(site, daemon))


def _forecast(site: Site, daemon: Known) -> Forecast:
    _, seen = known(site.live, daemon)
    status, now = site.feed.status, time.time()
    miner = None if seen.rate_hps is None or seen.difficulty is None else Miner(seen.rate_hps)
    made = replace(outlook(seen.difficulty or 0.0, (), None, (), now, miner), why_not=NEEDS_NODE, network_hps={})
    return Forecast(
        at=now,
        height=None if status is None else status["height"],
        tip_time=None,
        **outlook_document(made, now, None),
        miner_hps=seen.rate_hps,
        price=None,
        needs_node=["tip_time", "retarget", "network_hps", "chances_of_a_block.over_difficulties_to_come", "price"],
    )
