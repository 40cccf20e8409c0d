"""Errors and alarms of the ledger, each once with its count."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from solominer.web.api.params import Since, limit
from solominer.web.hub import ErrorAt, error_of
from solominer.web.problems import REFUSALS, Missing
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1", tags=["errors"], responses=REFUSALS)

SHOWN_SECS = 86_400.0
MOST_LINES = 5_000


class Errors(BaseModel):
    """Errors, the one that occurred last first."""

    errors: list[ErrorAt]
    missing: Missing = None


@router.get("/errors", response_model=Errors)
async def errors(site: TheSite, since: Since = None, limit: Annotated[int, limit(500)] = 100) -> Response:
    """Errors and alarms since `since` (Unix seconds; default: of the last 24 hours). Numbers in a message are ignored
    to tell errors apart."""
    stamp = await site.live.fresh()
    start = int(time.time() - SHOWN_SECS) // 60 * 60 if since is None else since
    return await site.answers.json(("errors", start, limit), stamp, lambda: _errors(site, float(start), limit))


def _errors(site: Site, since: float, limit: int) -> Errors:
    found: dict[str, list[dict[str, Any]]] = {}
    index = site.live.index()
    for line in index.page("error", since=since, limit=MOST_LINES):
        found.setdefault(str(line.get("id")), []).append(line)
    return Errors(errors=[error_of(lines) for lines in list(found.values())[:limit]], missing=index.missing or None)
