"""`solominer status` as a page of plain HTML, for browsers without JavaScript. It reloads itself."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from solominer.views.text import status_lines
from solominer.web.site import TheSite

router = APIRouter(tags=["status"])

RELOAD_SECS = 20

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>solominer</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="{reload}">
<link rel="stylesheet" href="/css/plain.css"><link rel="icon" href="/icon.svg"></head>
<body><main><h1>solominer</h1><p>{daemon}</p><pre>{status}</pre></main></body></html>
"""


@router.get("/plain", response_class=HTMLResponse)
def plain(site: TheSite) -> HTMLResponse:
    """The newest state of the daemon."""
    status = site.feed.status
    if status is None:
        daemon = "The daemon has not been reached yet: start it with <code>solominer run</code>."
    elif site.feed.lost_at is not None:
        daemon = f"<strong>The daemon has not answered since {_utc(site.feed.lost_at)}.</strong> Its last state:"
    else:
        daemon = f"As of {_utc(status['at'])}; this page reloads itself every {RELOAD_SECS} s."
    text = "\n".join(status_lines(status)) if status else ""
    page = _PAGE.format(reload=RELOAD_SECS, daemon=daemon, status=escape(text))
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
