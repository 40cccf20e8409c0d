"""Alerts: the last ones, what is wrong now, a test, and muting."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from solominer.errors import SolominerError
from solominer.records.control_client import ask
from solominer.web.access.visitor import TheVisitor, Visitor
from solominer.web.alerts.state import public
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])
control = APIRouter(prefix="/api/v1/alerts", tags=["control"])

MOST_MUTED_SECS = 366 * 86_400
MOST_RESULT = 1000


class Alerts(BaseModel):
    """`raised` has what is wrong now with the time of its alert; `queued` counts alerts that were not taken yet."""

    destinations: list[str]
    muted_until: float
    raised: dict[str, float]
    queued: int
    recent: list[dict[str, Any]]


class Tested(BaseModel):
    """The problem with each destination, or an empty text where the test was taken."""

    destinations: dict[str, str]


class Mute(BaseModel):
    """For how long, from now; 0 ends it."""

    model_config = ConfigDict(extra="forbid")

    secs: Annotated[float, Field(ge=0, le=MOST_MUTED_SECS, allow_inf_nan=False)]


class Muted(BaseModel):
    """Until when (Unix seconds); 0: not muted."""

    muted_until: float


@router.get("")
async def alerts(site: TheSite) -> Alerts:
    """The last alerts, newest last, and what is wrong now."""
    center = site.alerts
    state = center.state
    return Alerts(
        destinations=list(center.senders),
        muted_until=state.muted_until,
        raised=state.raised,
        queued=len(state.queue),
        recent=[public(alert) for alert in state.recent],
    )


@control.post("/test")
async def test(site: TheSite, visitor: TheVisitor) -> Tested:
    """Send a test to every destination."""
    problems = await site.alerts.test()
    await _record(site, visitor, "alerts test", ", ".join(f"{name}: {why or 'sent'}" for name, why in problems.items()))
    return Tested(destinations=problems)


@control.post("/mute")
async def mute(site: TheSite, visitor: TheVisitor, wanted: Mute) -> Muted:
    """Send no alerts for a while."""
    until = time.time() + wanted.secs if wanted.secs else 0.0
    site.alerts.mute(until)
    await _record(site, visitor, "alerts mute", f"{wanted.secs:.0f} s")
    return Muted(muted_until=until)


async def _record(site: Site, visitor: Visitor, what: str, result: str) -> None:
    """Put the call into the ledger, which only the daemon writes: it is not recorded while there is no daemon."""
    request = {"do": "record", "what": what, "by": visitor.name, "result": result[:MOST_RESULT]}
    with suppress(SolominerError):
        await asyncio.to_thread(ask, site.setup.folder, request)
