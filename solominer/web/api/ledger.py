"""The ledger's entries, page by page."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from solominer.web.api.params import MOST_SECS, Before, Since, limit
from solominer.web.problems import REFUSALS, Missing
from solominer.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["ledger"], responses=REFUSALS)


class Entry(BaseModel):
    """One line of the ledger with the fields of its kind (docs/schemas/ledger.schema.json)."""

    model_config = ConfigDict(extra="allow")

    seq: int
    at: float
    up: float
    kind: str


class Ledger(BaseModel):
    """`entries` newest first; `next` is the value of `before` for the older ones (null: there are none)."""

    entries: list[Entry]
    next: int | None
    missing: Missing = None


@router.get("/ledger", response_model=Ledger)
async def ledger(
    site: TheSite,
    kind: Annotated[
        str | None, Query(pattern=r"^[a-z][a-z_]{0,39}\*?$", description="`share`, `tip`, ..., or `block*`.")
    ] = None,
    since: Since = None,
    until: Annotated[
        float | None, Query(ge=0, le=MOST_SECS, allow_inf_nan=False, description="Unix seconds: only what is older.")
    ] = None,
    before: Before = None,
    limit: Annotated[int, limit(1000)] = 100,
) -> Response:
    """Entries of a kind and a time, newest first. Entries that retention has deleted are left out."""
    await site.live.fresh()

    def make() -> bytes:
        bounds: dict[str, Any] = {"since": since, "until": until, "before": before}
        given = {name: value for name, value in bounds.items() if value is not None}
        index = site.live.index()
        entries = index.page(kind or "*", limit=limit, **given)
        following = entries[-1]["seq"] if len(entries) == limit else None
        return orjson.dumps({"entries": entries, "next": following, "missing": index.missing or None})

    return Response(await asyncio.to_thread(make), media_type="application/json")
