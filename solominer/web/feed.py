"""The newest state of the daemon, from `watch` on its control socket."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import orjson

from solominer.records.control_client import MAX_LINE_BYTES, found_socket

RETRY_SECS = 1.0
SILENCE_SECS = 15.0
"""A daemon that sends nothing for this long counts as not running."""

log = logging.getLogger(__name__)


class DaemonFeed:
    """Holds the newest status as JSON and wakes everybody who waits for the next one.

    `status` is the object of the newest line, or None before the first. `line` is the same as JSON bytes. `running`:
    whether the daemon is connected; while it is not, `status` and `line` keep the last state and `lost_at` says since
    when (Unix seconds).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.line = b""
        self.running = False
        self.lost_at: float | None = time.time()
        self._status: dict[str, Any] | None = None
        self._stale = False
        self._news: asyncio.Future[None] | None = None

    @property
    def status(self) -> dict[str, Any] | None:
        """The newest status, parsed when it is first asked for."""
        if self._stale:
            self._status, self._stale = orjson.loads(self.line), False
        return self._status

    async def run(self) -> NoReturn:
        """Stay connected to the daemon until cancelled."""
        while True:
            try:
                await self._follow()
            except (OSError, TimeoutError, ValueError) as error:
                if self.running:
                    log.warning("the daemon is not answering: %s", error or "it closed the connection")
            self._lost()
            await asyncio.sleep(RETRY_SECS)

    async def _follow(self) -> None:
        reader, writer = await asyncio.open_unix_connection(found_socket(self._folder), limit=MAX_LINE_BYTES)
        try:
            writer.write(b'{"do":"watch"}\n')
            while True:
                async with asyncio.timeout(SILENCE_SECS):
                    line = await reader.readline()
                if not line:
                    return
                self._take(line)
        finally:
            writer.close()

    def _take(self, line: bytes) -> None:
        start, end = line.find(b'"status":') + len(b'"status":'), line.rstrip().rfind(b"}")
        if not line.startswith(b'{"ok":true,"status":{') or end < start:
            reply = orjson.loads(line)
            raise ValueError(f"unexpected reply: {reply.get('error', reply)!s:.200}")
        if not self.running:
            log.info("connected to the daemon")
        self.line, self._stale = line[start:end], True
        self.running, self.lost_at = True, None
        self._wake()

    def _lost(self) -> None:
        if self.running:
            self.running, self.lost_at = False, time.time()
            self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set_result(None)
            self._news = None

    def news(self) -> asyncio.Future[None]:
        """Done with the next newer status, or when the daemon is lost.

        One for all who wait: use `asyncio.wait`, since a task that awaits it directly would cancel it for the others.
        """
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once, and then with all `news`; skips what was missed."""
        while True:
            news = self.news()
            yield
            await asyncio.wait([news])
