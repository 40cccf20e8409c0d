"""The state of the run: once, and as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from solominer.views.snapshot import Snapshot
from solominer.web.problems import Problem
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1", tags=["status"])

COMMENT_SECS = 15.0
"""A comment line keeps proxies from closing a quiet stream."""

NO_STATUS = b'{"error":"the daemon has not been reached yet","todo":"start it with `solominer run`"}'


@dataclass(frozen=True, slots=True)
class StatusV1(Snapshot):
    """The state of the running miner. Times are Unix seconds, amounts satoshis, rates hashes per second.

    Fields are added, never renamed or removed. `rate_high_hps` is null until there are two readings.
    """

    rate_high_hps: float | None  # type: ignore[assignment]


@router.get(
    "/status",
    response_model=StatusV1,
    responses={503: {"model": Problem, "description": "The daemon has not been reached since this server started."}},
)
async def status(site: TheSite) -> Response:
    """The newest state of the daemon.

    The header `Daemon` is `running` or `lost`; the state of a lost daemon is its last.
    """
    headers = {"Cache-Control": "no-store", "Daemon": "running" if site.feed.running else "lost"}
    if not site.feed.line:
        return Response(NO_STATUS, 503, headers, "application/json")
    return Response(site.feed.line, 200, headers, "application/json")


@router.get("/events", response_class=StreamingResponse)
async def events(site: TheSite) -> StreamingResponse:
    """The state as server-sent events: `status` with each new state, `lost` when the daemon is gone."""
    return StreamingResponse(_events(site), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _events(site: Site) -> AsyncIterator[bytes]:
    changes = site.feed.changes()
    following: asyncio.Task[None] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(changes))
            done, _ = await asyncio.wait([following], timeout=COMMENT_SECS)
            if not done:
                yield b":\n\n"
                continue
            following = None
            if site.feed.running:
                yield b"event: status\ndata: " + site.feed.line + b"\n\n"
            else:
                yield f'event: lost\ndata: {{"lost_at":{site.feed.lost_at}}}\n\n'.encode()
    finally:
        if following is not None:
            following.cancel()
