"""How long it takes from a new tip until the old work is stopped and new work is out."""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from solominer.records.report.latency import Durations
from solominer.web.problems import REFUSALS, Missing
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1", tags=["latency"], responses=REFUSALS)

WINDOW_SECS = 86_400
MOST_LINES = 5_000


class Spread(BaseModel):
    """Percentiles within 1 %, and the newest sample."""

    samples: int
    p50_secs: float
    p90_secs: float
    p99_secs: float
    max_secs: float
    last_secs: float
    last_at: float


class Latency(BaseModel):
    """`kinds`: `tip_to_stop` (all workers left the old tip), `tip_to_empty`, `tip_to_full` (first full template)."""

    since_at: float
    kinds: dict[str, Spread]
    missing: Missing = None


@router.get("/latency", response_model=Latency)
async def latency(site: TheSite) -> Response:
    """Latencies of the last 24 hours, at most the newest 5,000."""
    stamp = await site.live.fresh()
    since = int(time.time() - WINDOW_SECS) // 60 * 60
    return await site.answers.json("latency", (stamp, since), lambda: _latency(site, since))


def _latency(site: Site, since: int) -> Latency:
    durations: dict[str, Durations] = {}
    last: dict[str, tuple[float, float]] = {}
    index = site.live.index()
    for line in index.page("latency", since=since, limit=MOST_LINES):
        what, secs = line.get("what"), line.get("secs")
        if isinstance(what, str) and isinstance(secs, int | float) and not isinstance(secs, bool):
            durations.setdefault(what, Durations()).add(float(secs))
            last.setdefault(what, (float(secs), line["at"]))
    kinds = {what: _spread(each, *last[what]) for what, each in durations.items()}
    return Latency(since_at=since, kinds=kinds, missing=index.missing or None)


def _spread(durations: Durations, last_secs: float, last_at: float) -> Spread:
    summary = durations.summary()
    percentiles = {name: float(summary[name]) for name in ("p50_secs", "p90_secs", "p99_secs", "max_secs")}
    return Spread(samples=durations.count, **percentiles, last_secs=last_secs, last_at=last_at)
