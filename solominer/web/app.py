"""The ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from solominer import __version__
from solominer.web import health, metrics, plain
from solominer.web.access import login
from solominer.web.access.access import Access
from solominer.web.access.guard import Guard
from solominer.web.access.visitor import Refused, may_control, may_read, refuse
from solominer.web.api import (
    alerts,
    blocks,
    control,
    devices,
    docs,
    doctor,
    errors,
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
from solominer.web.compat import ckpool, public_pool
from solominer.web.headers import PageFiles, SecurityHeaders
from solominer.web.methods import PAGE, HeadAsGet
from solominer.web.mqtt.publisher import MqttPublisher
from solominer.web.problems import REFUSALS, add_handlers
from solominer.web.site import Site

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"

READ_ROUTERS = (
    status.router,
    history.router,
    shares.router,
    blocks.router,
    odds.router,
    latency.router,
    errors.router,
    reports.router,
    reports.pages,
    ledger.router,
    doctor.router,
    devices.router,
    docs.router,
    ws.router,
    alerts.router,
)

OTHER_SHAPES = (qr.router, plain.router, metrics.router, public_pool.router)
"""Read routers that are no part of the API: pictures, text, and what other programs define."""

CONTROL_ROUTERS = (control.router, alerts.control)


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
    for router in OTHER_SHAPES:
        app.include_router(router, dependencies=[Depends(may_read)], include_in_schema=False)
    for router in CONTROL_ROUTERS:
        app.include_router(router, dependencies=[Depends(may_control)], responses=REFUSALS)
    app.include_router(login.router, responses=REFUSALS)
    app.include_router(health.router, include_in_schema=False)
    app.mount("/", GZipMiddleware(PageFiles(directory=STATIC, html=True)), name=PAGE)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Guard, access=access)
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _following(app: FastAPI) -> AsyncIterator[None]:
    site: Site = app.state.site
    app.state.access.announce()
    tasks = [_task(site.feed.run(), "daemon feed")]
    if site.alerts.is_on:
        tasks.append(_task(site.alerts.run(), "alerts"))
    if site.setup.devices:
        tasks.append(_task(site.devices.run(), "device monitor"))
    if site.setup.mqtt.host:
        publisher = MqttPublisher(site.setup.mqtt, site.feed, site.live, site.best)
        tasks.append(_task(publisher.run(), "MQTT"))
    if site.setup.web.status_files_dir is not None:
        tasks.append(_task(ckpool.keep_written(site, site.setup.web.status_files_dir), "ckpool's status files"))
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _task(work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """A task whose failure is logged: the page stays up without it."""

    def ended(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("%s ended unexpectedly: restart the web server", name, exc_info=task.exception())

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    return task
