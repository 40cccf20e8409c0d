"""The ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from solominer import __version__
from solominer.web.api import (
    blocks,
    docs,
    doctor,
    errors,
    forecast,
    history,
    latency,
    ledger,
    odds,
    reports,
    shares,
    status,
    ws,
)
from solominer.web.headers import SecurityHeaders
from solominer.web.problems import add_handlers
from solominer.web.site import Site

STATIC = Path(__file__).parent / "static"

READ_ROUTERS = (
    status.router,
    history.router,
    shares.router,
    blocks.router,
    odds.router,
    forecast.router,
    latency.router,
    errors.router,
    reports.router,
    reports.pages,
    ledger.router,
    doctor.router,
    docs.router,
    ws.router,
)


def create_app(site: Site) -> FastAPI:
    """The application for one daemon; it connects to the daemon while it runs."""
    app = FastAPI(
        title="solominer",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=_following,
    )
    app.state.site = site
    add_handlers(app)
    for router in READ_ROUTERS:
        app.include_router(router)
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _following(app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(app.state.site.feed.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
