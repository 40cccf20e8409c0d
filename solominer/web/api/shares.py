"""Shares: the newest, the best of this session, the best ever, the best twenty."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from solominer.records.ledger.reader import LedgerReader
from solominer.records.tree import Part
from solominer.web.api.params import Before, Since, limit
from solominer.web.best import BestShare
from solominer.web.problems import REFUSALS, Missing
from solominer.web.shares import Jobs, Share
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1", tags=["shares"], responses=REFUSALS)

SHOWN_SECS = 86_400.0
MOST_WORK_LINES = 5_000


class Shares(BaseModel):
    """`shares` newest first; `next` is the value of `before` for the older ones (null: there are none).

    `best_session` is since the daemon's newest start, `best_ever` since the first record, `top` the best, best first.
    """

    shares: list[Share]
    next: int | None
    best_session: Share | None
    best_ever: BestShare | None
    top: list[Share]
    missing: Missing = None


@router.get("/shares", response_model=Shares)
async def shares(
    site: TheSite,
    since: Since = None,
    before: Before = None,
    limit: Annotated[int, limit(1000)] = 500,
) -> Response:
    """Shares since `since` (Unix seconds; default: of the last 24 hours), newest first, and the best ones."""
    stamp = await site.live.fresh()
    start = int(time.time() - SHOWN_SECS) // 60 * 60 if since is None else since
    return await site.answers.json(
        ("shares", start, before, limit), stamp, lambda: _shares(site, float(start), before, limit)
    )


def _shares(site: Site, since: float, before: int | None, limit: int) -> Shares:
    index = site.live.index()
    lines = index.page("share", since=since, limit=limit, **({} if before is None else {"before": before}))
    jobs = site.live.tail.jobs
    if lines and jobs.lacks(lines):
        jobs = _jobs_of(index, lines)
    best = site.best
    return Shares(
        shares=[share for line in lines if (share := jobs.share(line)) is not None],
        next=lines[-1]["seq"] if len(lines) == limit else None,
        best_session=best.session(),
        best_ever=best.ever(),
        top=best.top(),
        missing=index.missing or None,
    )


def _jobs_of(index: LedgerReader, lines: list[dict[str, Any]]) -> Jobs:
    """The jobs of these shares: each is described in the hour of the share, or just before."""
    jobs = Jobs()
    times = [line["at"] for line in lines]
    described = index.page("work", since=Part.at(min(times)).start - 1, until=max(times) + 1, limit=MOST_WORK_LINES)
    for work in described:
        jobs.add(work)
    return jobs
