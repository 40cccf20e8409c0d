"""The coordinator's event queue. Only shares that are not blocks are dropped, when too many are waiting."""

from __future__ import annotations

import asyncio
from collections import deque

from solominer.work.events import Event, ShareFound


class EventQueue:
    """A FIFO queue with at most `most_shares` shares that are not blocks; more are dropped and counted.

    Not thread-safe: for use in one event loop.
    """

    def __init__(self, most_shares: int = 10_000) -> None:
        self._most_shares = most_shares
        self._events: deque[Event] = deque()
        self._shares = 0
        self._filled = asyncio.Event()
        self.dropped = 0
        """Number of dropped shares."""

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """Add an event."""
        if _may_be_dropped(event):
            if self._shares >= self._most_shares:
                self.dropped += 1
                return
            self._shares += 1
        self._events.append(event)
        self._filled.set()

    async def get(self) -> Event:
        """Wait for the next event and remove it."""
        while not self._events:
            self._filled.clear()
            await self._filled.wait()
        event = self._events.popleft()
        self._shares -= _may_be_dropped(event)
        return event


def _may_be_dropped(event: Event) -> bool:
    return isinstance(event, ShareFound) and not event.is_block
