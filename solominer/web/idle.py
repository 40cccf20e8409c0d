"""Closes connections on which no request arrives: uvicorn waits for the first one, and for its rest, without end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from solominer.web.access.access import MAX_OPEN
from solominer.web.access.addresses import is_loopback, network_key

REQUEST_SECS = 40.0
"""How long a whole head of a request may take; longer than uvicorn keeps a connection after a response."""

LOOK_SECS = 1.0


class IdleConnections:
    """Looks at uvicorn's `connections`. Of one address at most MAX_OPEN wait; of a proxy's as many as it likes."""

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
