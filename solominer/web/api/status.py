"""The state of the run: once, and as server-sent events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from solominer.views.snapshot import Snapshot
from solominer.web.feed import DaemonFeed
from solominer.web.problems import Problem
from solominer.web.site import TheSite

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
    return EventStream(site.feed)


class EventStream(StreamingResponse):
    """The feed as server-sent events, until the client disconnects; one task for each client and one that listens."""

    def __init__(self, feed: DaemonFeed) -> None:
        super().__init__((), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send each state; what a slow client missed is skipped."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while not gone.done():
                news = self._feed.news()
                await send({"type": "http.response.body", "body": _event(self._feed), "more_body": True})
                while not await _first_of(gone, news):
                    await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
        finally:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_of(*waiting: asyncio.Future[None]) -> bool:
    """Whether one is done within COMMENT_SECS."""
    done, _ = await asyncio.wait(waiting, timeout=COMMENT_SECS, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


def _event(feed: DaemonFeed) -> bytes:
    if feed.running:
        return b"event: status\ndata: " + feed.line + b"\n\n"
    return f'event: lost\ndata: {{"lost_at":{feed.lost_at}}}\n\n'.encode()
