"""`/healthz` and `/readyz`, as load balancers and Kubernetes ask for them."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from solominer.web.feed import DaemonFeed
from solominer.web.site import TheSite

router = APIRouter(tags=["health"])

_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> PlainTextResponse:
    """200 while the web process runs, whatever the daemon does."""
    return PlainTextResponse("ok\n", 200, _NO_STORE)


@router.get(
    "/readyz",
    response_class=PlainTextResponse,
    responses={503: {"content": {"text/plain": {}}, "description": "Why nothing is being mined."}},
)
async def readyz(site: TheSite) -> PlainTextResponse:
    """200 while the daemon mines or is paused on purpose; else 503 with the reason."""
    reason = not_ready(site.feed)
    return PlainTextResponse(f"{reason or 'ready'}\n", 503 if reason else 200, _NO_STORE)


def not_ready(feed: DaemonFeed) -> str:
    """Why the daemon is not mining; empty if it is, or is paused by hand, the schedule, the throttle or a policy."""
    status = feed.status
    if not feed.running or status is None:
        return "the daemon is not running"
    if status["pauses"]:
        return "the daemon is stopping" if "stopping" in status["pauses"] else ""
    if not str(status["status"]).startswith("mining"):
        return f"the daemon is {status['status']}"
    if any(pool["active"] for pool in status.get("pools", ())):
        return ""
    return "" if any(node["usable"] for node in status["nodes"]) else "no node is healthy"
