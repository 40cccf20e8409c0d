"""The odds of a block, and luck so far."""

from __future__ import annotations

import math
import time

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

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
from solominer.records.report.report import MIN_HASHES_PER_SHARE
from solominer.web.problems import REFUSALS
from solominer.web.rates import Known, known, told
from solominer.web.site import Site, TheSite

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
