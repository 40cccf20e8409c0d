"""A listening socket of the server, and what holds for the connections that come by it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import structs

from solominer.config.forms import system_words
from solominer.engines.stratum.addresses import listens_on
from solominer.engines.stratum.channel import ListenerSetup, Sharing
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.shared import ListenerSettings, PayTo, Shared
from solominer.engines.stratum.tls import load_certificate, server_context
from solominer.errors import EngineError

TLS_HANDSHAKE_SECS = 15.0
_BACKLOG = 8192
_SOCKET_MODE = 0o660

_SOCKET_OPTIONS = {  # accepted connections inherit them: a client that lost its power is noticed within two minutes
    (socket.SOL_SOCKET, "SO_KEEPALIVE"): 1,
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE"): 60,
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL"): 20,
    (socket.IPPROTO_TCP, "TCP_KEEPCNT"): 3,
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"): 120_000,  # milliseconds
}


class Listener:
    """Made from `setup`, opened once. Raises EngineError if its certificate cannot be used."""

    def __init__(self, setup: ListenerSetup, shared: Shared) -> None:
        self._tls = server_context(setup.certificate, setup.key) if setup.certificate else None
        self._server: asyncio.Server | None = None
        self.setup, self.shared = setup, shared
        self._use(setup)

    def _use(self, setup: ListenerSetup) -> None:
        self.setup = setup
        self.proxies = frozenset(setup.proxies)
        most = setup.most_difficulty or float("inf")
        limits = Limits(setup.start_difficulty, setup.least_difficulty, most, setup.fractional)
        self.shared.settings = ListenerSettings(pay_to=PayTo(setup.pay_to), limits=limits)

    async def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Take connections. Raises EngineError that says why it cannot."""
        loop, setup = asyncio.get_running_loop(), self.setup
        options: dict[str, Any] = {"backlog": _BACKLOG, "ssl": self._tls}
        if self._tls is not None:
            options["ssl_handshake_timeout"] = TLS_HANDSHAKE_SECS
        try:
            if setup.path:
                path = Path(setup.path)
                if listens_on(path):
                    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
                if path.is_socket():  # of a server before this one; anything else there is not ours to remove
                    path.unlink()
                self._server = await loop.create_unix_server(protocol, setup.path, **options)
                path.chmod(_SOCKET_MODE)
            else:
                joins = setup.sharing is Sharing.JOIN
                self._server = await loop.create_server(protocol, setup.host, setup.port, reuse_port=joins, **options)
                for sock in self._server.sockets:
                    if setup.sharing is Sharing.FIRST:  # not before: it would join another program that has the port
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                    for (level, name), value in _SOCKET_OPTIONS.items():
                        if hasattr(socket, name):  # not everywhere
                            sock.setsockopt(level, getattr(socket, name), value)
        except (OSError, ValueError) as error:  # ValueError: an address that is none
            reason = system_words(error) if isinstance(error, OSError) else error
            what = f"the Stratum server cannot listen on {setup.url}: {reason}"
            raise EngineError(what, _advice(setup, getattr(error, "errno", None))) from error

    @property
    def bound(self) -> ListenerSetup:
        """Its settings, with the port that it got where any would do."""
        if self.setup.path or self._server is None:
            return self.setup
        return structs.replace(self.setup, port=self._server.sockets[0].getsockname()[1])

    def change(self, setup: ListenerSetup) -> None:
        """Use other settings with the same `identity` from now on; the certificate is read again for new connections.

        Raises EngineError, with nothing changed, if the certificate cannot be used.
        """
        if self._tls is not None:
            server_context(setup.certificate, setup.key)  # one that cannot be used would spoil the context in use
            load_certificate(self._tls, setup.certificate, setup.key)
        self._use(setup)

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()


def _advice(setup: ListenerSetup, number: int | None) -> str:
    if number == errno.EADDRINUSE:
        return "choose another address or port, or end what has it"
    if setup.path:
        return "let this user write to its folder, or choose another"
    if number == errno.EACCES:
        return "choose a port from 1024 on"
    return "use an address of this machine, or 0.0.0.0 for all"
