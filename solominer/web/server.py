"""Serves the application with uvicorn on one address."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import ip_network
from typing import Any, NoReturn

import uvicorn
from starlette.types import ASGIApp

from solominer.config.forms import bracketed
from solominer.config.web import WebConfig
from solominer.engines.stratum.addresses import reachable
from solominer.engines.stratum.tls import server_context
from solominer.errors import EngineError
from solominer.web.access.access import MAX_OPEN
from solominer.web.access.addresses import is_loopback, network_key
from solominer.web.access.guard import MAX_BODY_BYTES
from solominer.web.connection import Connection

REQUEST_SECS = 40.0
"""How long a whole head of a request may take; longer than uvicorn keeps a connection after a response."""

LOOK_SECS = 1.0

BACKLOG = 2048
LAST_RESPONSES_SECS = 2


class WebServer:
    """Binds on construction. Raises EngineError if the address or the certificate cannot be used."""

    def __init__(self, app: ASGIApp, config: WebConfig) -> None:
        certificate, key = config.tls_certificate, config.tls_key
        self._context = server_context(str(certificate), str(key or "")) if certificate else None
        self._listener = _bound(*config.place)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=Connection,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(config.proxies),
                forwarded_allow_ips=_as_peers(config.proxies),
                ws_max_size=MAX_BODY_BYTES,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=LAST_RESPONSES_SECS,
            )
        )
        host, port = self._listener.getsockname()[:2]
        url = f"{'https' if self._context else 'http'}://{bracketed(host)}:{port}"
        self.url = " or ".join(f"{each}/" for each in reachable(url))

    async def serve(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop` or a signal; `ready` is called when connections are accepted."""
        config = self._server.config
        config.load()
        config.ssl = self._context
        startup = self._server.startup

        async def start(sockets: list[socket.socket] | None = None) -> None:
            await startup(sockets)
            ready()

        self._server.startup = start  # type: ignore[method-assign]
        connections = self._server.server_state.connections
        idle = IdleConnections(lambda: connections, behind_proxy=bool(config.forwarded_allow_ips))
        looking = asyncio.create_task(idle.run(), name="idle connections")
        try:
            await self._server.serve([self._listener])
        finally:
            looking.cancel()

    def stop(self) -> None:
        """Finish open responses and return from `serve`."""
        self._server.should_exit = True


def _as_peers(proxies: Iterable[str]) -> list[str]:
    """These networks, and how their IPv4 addresses appear to a listener on `::`."""
    networks = list(map(ip_network, proxies))
    mapped = [f"::ffff:{net.network_address}/{96 + net.prefixlen}" for net in networks if net.version == 4]
    return [*map(str, networks), *mapped]


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EngineError(f"the web server cannot listen on {host}: {error.strerror}", "check web.listen") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        todo = "another program uses this port: stop it, or set web.listen to another port"
        if error.errno != errno.EADDRINUSE:
            todo = "set web.listen to an address of this machine and a port that this user may use"
        raise EngineError(
            f"the web server cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}", todo
        ) from error
    return listener


class IdleConnections:
    """Closes uvicorn's `connections` on which no request arrives: it waits for the first, and its rest, without end.

    Of one address at most MAX_OPEN wait; of a proxy's as many as it likes.
    """

    def __init__(self, connections: Callable[[], Iterable[Any]], *, behind_proxy: bool) -> None:
        self._connections, self._behind_proxy = connections, behind_proxy
        self._waiting: dict[Any, tuple[Any, float]] = {}

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECS)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        """Close those that have waited too long, and the oldest of an address with too many."""
        before, self._waiting = self._waiting, {}
        for connection in list(self._connections()):
            cycle = getattr(connection, "cycle", connection)  # the last request; a WebSocket has none, and is served
            if cycle is None or (cycle is not connection and cycle.response_complete):
                known, since = before.get(connection, (cycle, now))
                self._waiting[connection] = cycle, since if known is cycle else now
        held = Counter[str]()
        for connection, (_, since) in sorted(self._waiting.items(), key=lambda each: -each[1][1]):
            host = connection.client[0] if connection.client else None
            key = network_key(host)
            held[key] += not (self._behind_proxy or is_loopback(host))
            if now - since >= REQUEST_SECS or held[key] > MAX_OPEN:
                connection.transport.abort()
