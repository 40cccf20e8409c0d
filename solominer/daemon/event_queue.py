"""The way of events into the coordinator: shares may be dropped when too many wait, anything else never is."""

from __future__ import annotations

import asyncio
from collections import deque

from solominer.work.events import Event, ShareFound


class EventQueue:
    """First in, first out. At most `most_shares` shares wait that are no blocks; what comes beyond is counted and lost.

    Used from one event loop.
    """

    def __init__(self, most_shares: int = 10_000) -> None:
        self._most_shares = most_shares
        self._events: deque[Event] = deque()
        self._shares = 0
        self._filled = asyncio.Event()
        self.dropped = 0
        """Shares that were lost because too many waited."""

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """Take an event."""
        if _may_be_dropped(event):
            if self._shares >= self._most_shares:
                self.dropped += 1
                return
            self._shares += 1
        self._events.append(event)
        self._filled.set()

    async def get(self) -> Event:
        """The next event, as soon as there is one."""
        while not self._events:
            self._filled.clear()
            await self._filled.wait()
        event = self._events.popleft()
        self._shares -= _may_be_dropped(event)
        return event


def _may_be_dropped(event: Event) -> bool:
    return isinstance(event, ShareFound) and not event.is_block
