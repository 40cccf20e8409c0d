"""`watch` on the control socket: the state of the run as JSON lines, for the web server and other programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable

from solominer.chain.fields import Field
from solominer.views.snapshot import Snapshot, encode

EVERY_SECS = 1.0
LOOK_SECS = 0.25


class StatusFeed:
    """One line a second to everybody who watches, and one at once when what `urgent` returns changes.

    A line is `{"ok": true, "status": {...}}`, as the reply to `status`; it is made once, however many are watching, and
    not at all while nobody is.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], urgent: Callable[[], Hashable]) -> None:
        self._snapshot, self._urgent = snapshot, urgent
        self._made_mono = float("-inf")
        self._line = b""

    async def lines(self, request: Field) -> AsyncIterator[bytes]:
        """The stream of one watcher, without end."""
        while True:
            yield self._newest()
            sent_mono, seen = time.monotonic(), self._urgent()
            while time.monotonic() - sent_mono < EVERY_SECS and self._urgent() == seen:
                await asyncio.sleep(LOOK_SECS)

    def _newest(self) -> bytes:
        if time.monotonic() - self._made_mono >= LOOK_SECS / 2:
            self._made_mono = time.monotonic()
            self._line = b'{"ok":true,"status":' + encode(self._snapshot()) + b"}\n"
        return self._line
