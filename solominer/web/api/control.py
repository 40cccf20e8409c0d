"""Steering the daemon. It records each call in the ledger, with who made it."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from solominer.config.models import MAX_CORES
from solominer.records.control_client import ask
from solominer.web.access.visitor import TheVisitor, Visitor
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1/control", tags=["control"])


class Pauses(BaseModel):
    """Every reason for which nothing is hashed now."""

    pauses: list[str]


class Changes(BaseModel):
    """A line for each setting that has changed or needs a restart."""

    changes: list[str]


class Cores(BaseModel):
    """How many cores to leave to other programs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reserved: int = Field(ge=0, le=MAX_CORES)


@router.post("/pause")
async def pause(site: TheSite, visitor: TheVisitor) -> Pauses:
    """Pause hashing until `resume`; found blocks and nodes are still tracked."""
    return Pauses(**await _ask(site, visitor, "pause"))


@router.post("/resume")
async def resume(site: TheSite, visitor: TheVisitor) -> Pauses:
    """End `pause`. Pauses for other reasons remain, and are in the answer."""
    return Pauses(**await _ask(site, visitor, "resume"))


@router.post("/reload")
async def reload(site: TheSite, visitor: TheVisitor) -> Changes:
    """Read the configuration file again."""
    return Changes(**await _ask(site, visitor, "reload"))


@router.post("/cores")
async def cores(wanted: Cores, site: TheSite, visitor: TheVisitor) -> Changes:
    """Reserve this many cores, until the next reload."""
    return Changes(**await _ask(site, visitor, "cores", reserved=wanted.reserved))


async def _ask(site: Site, visitor: Visitor, what: str, **fields: Any) -> dict[str, Any]:
    reply = await asyncio.to_thread(ask, site.setup.folder, {"do": what, "by": visitor.name, **fields})
    return {key: value for key, value in reply.items() if key != "ok"}
