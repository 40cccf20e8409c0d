"""A site whose web server has tokens, and clients from this machine and from elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from solominer.config.web import WebConfig
from solominer.web.access.access import Access
from solominer.web.access.tokens import Role, TokenFile
from solominer.web.app import create_app
from solominer.web.setup import WebSetup
from solominer.web.site import Site

ELSEWHERE = "192.0.2.7"
HOST = "192.0.2.1:3380"
ORIGIN = f"http://{HOST}"


class Rig:
    """The application, listening on `listen`; `secret(role)` makes a token."""

    def __init__(self, folder: Path, listen: str = "0.0.0.0:3380", **web: Any) -> None:
        self.folder = folder
        self.tokens = TokenFile(folder)
        config = WebConfig(listen=listen, **web)
        self.setup = WebSetup(folder=folder, network="regtest", simulated=False, web=config)
        self.app: FastAPI = create_app(Site.of(self.setup))
        self._made = 0

    @property
    def access(self) -> Access:
        access: Access = self.app.state.access
        return access

    def secret(self, role: str = "read", *, at: float | None = None, days: float | None = None) -> str:
        self._made += 1
        return self.tokens.add(f"t{self._made}", Role(role), time.time() if at is None else at, days)

    def client(
        self,
        secret: str | None = None,
        *,
        peer: str = ELSEWHERE,
        base: str = ORIGIN,
        headers: dict[str, str] | None = None,
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """A client at `peer` that opens `base`, with a Bearer token if there is one."""
        sent = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        transport = httpx.ASGITransport(self.app, client=(peer, 40_000), raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url=base, headers={**sent, **(headers or {})})

    def local(self, **headers: str) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """A client on this machine."""
        return self.client(peer="127.0.0.1", base="http://127.0.0.1:3380", headers=headers)

    def endpoints(self) -> Iterator[tuple[str, str]]:
        """(method, path) of every endpoint, with something in the place of parameters; WEBSOCKET is a method here."""
        for route in iter_route_contexts(self.app.routes):
            path = getattr(route, "path", None)
            if path:
                for method in sorted(getattr(route, "methods", None) or {"WEBSOCKET"}):
                    yield method, path.replace("{secret}", "x").replace("{", "").replace("}", "")
