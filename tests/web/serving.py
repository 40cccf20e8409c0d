"""A web server on records that a test writes, in a thread of its own, and clients of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from solominer.config.web import WebConfig
from solominer.web.app import create_app
from solominer.web.server import WebServer
from solominer.web.setup import WebSetup
from solominer.web.site import Site
from tests.ports import free_port


class Served:
    """A server while it runs. `get` returns the JSON of an answer that must be a success."""

    def __init__(self, site: Site, server: WebServer) -> None:
        self.site, self.url = site, server.url.rstrip("/")
        self.ws_url = f"ws{self.url.removeprefix('http')}/api/v1/ws"
        self.loop: asyncio.AbstractEventLoop | None = None
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def get(self, path: str, **params: Any) -> Any:
        response = self.http.get(f"/api/v1/{path}", params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, path: str, status: int, **params: Any) -> str:
        """The error of a request that must fail with this status."""
        response = self.http.get(path, params=params)
        assert response.status_code == status, (path, response.status_code, response.text)
        problem = response.json()
        assert set(problem) == {"error", "todo"}
        assert problem["error"]
        return str(problem["error"])


def setup_of(folder: Path, *, simulated: bool = False, config_file: Path | None = None) -> WebSetup:
    """The setup for the records in `folder`, on any free port."""
    web = WebConfig(listen=f"127.0.0.1:{free_port()}")
    return WebSetup(folder=folder, network="regtest", simulated=simulated, web=web, config_file=config_file)


@contextmanager
def serving(setup: WebSetup) -> Iterator[Served]:
    """Serve until the block ends."""
    site = Site.of(setup)
    server = WebServer(create_app(site), setup.web)
    served, ready = Served(site, server), threading.Event()

    async def serve() -> None:
        served.loop = asyncio.get_running_loop()
        await server.serve(ready.set)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield served
    finally:
        served.http.close()
        server.stop()
        thread.join(30)
        assert not thread.is_alive()
