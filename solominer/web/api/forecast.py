"""The forecast as far as the records know it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from solominer.insight.outlook import Miner, outlook, outlook_document
from solominer.web.problems import REFUSALS
from solominer.web.rates import Known, known, told
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1", tags=["odds"], responses=REFUSALS)

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
