"""A TCP server on loopback that a fake of this folder answers on."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self


class FakeServer(ABC):
    """Hands each connection to `_serve`. It listens on the same `port` again when it serves a second time."""

    port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Serve until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...
