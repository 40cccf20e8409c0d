"""The page that shows the OpenAPI description."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(prefix="/api", include_in_schema=False)

PAGE = Path(__file__).parents[1] / "static" / "docs.html"


@router.get("/docs")
async def docs() -> FileResponse:
    """The page."""
    return FileResponse(PAGE)
