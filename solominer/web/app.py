"""The ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from solominer import __version__
from solominer.web import plain
from solominer.web.access import login
from solominer.web.access.access import Access
from solominer.web.access.guard import Guard
from solominer.web.access.visitor import Refused, may_control, may_read, refuse
from solominer.web.api import (
    blocks,
    control,
    docs,
    doctor,
    errors,
    forecast,
    history,
    latency,
    ledger,
    odds,
    qr,
    reports,
    shares,
    status,
    ws,
)
from solominer.web.headers import SecurityHeaders
from solominer.web.problems import add_handlers
from solominer.web.site import Site
from solominer.web.static_files import PageFiles

STATIC = Path(__file__).parent / "static"

READ_ROUTERS = (
    status.router,
    qr.router,
    plain.router,
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
    app.state.access = access = Access(site.setup)
    add_handlers(app)
    app.add_exception_handler(Refused, refuse)
    for router in READ_ROUTERS:
        app.include_router(router, dependencies=[Depends(may_read)])
    app.include_router(control.router, dependencies=[Depends(may_control)])
    app.include_router(login.router)
    app.mount("/", GZipMiddleware(PageFiles(directory=STATIC, html=True)), name="page")
    app.add_middleware(Guard, access=access)
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _following(app: FastAPI) -> AsyncIterator[None]:
    app.state.access.announce()
    task = asyncio.create_task(app.state.site.feed.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
