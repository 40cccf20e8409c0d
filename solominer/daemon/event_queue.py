"""The coordinator's event queue. Only shares that are not blocks are dropped, when too many are waiting.

Each source of shares, a node or a miner, may have as many waiting as there is room for more: one that floods the queue
fills half of it, and leaves the other half to all others.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from solominer.work.events import Event, ShareFound


class EventQueue:
    """A FIFO queue with at most `most_shares` shares that are not blocks; more are dropped and counted.

    Not thread-safe: for use in one event loop.
    """

    def __init__(self, most_shares: int = 10_000) -> None:
        self._most_shares = most_shares
        self._events: deque[Event] = deque()
        self._shares = 0
        self._of = Counter[str]()
        self._filled = asyncio.Event()
        self.dropped = 0
        """Number of dropped shares."""

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """Add an event."""
        if source := _source_of(event):
            if self._of[source] >= self._most_shares - self._shares:
                self.dropped += 1
                return
            self._of[source] += 1
            self._shares += 1
        self._events.append(event)
        self._filled.set()

    async def get(self) -> Event:
        """Wait for the next event and remove it."""
        while not self._events:
            self._filled.clear()
            await self._filled.wait()
        event = self._events.popleft()
        if source := _source_of(event):
            self._shares -= 1
            self._of[source] -= 1
            if not self._of[source]:
                del self._of[source]
        return event


def _source_of(event: Event) -> str:
    """Of a share that may be dropped; all workers of a node, or all rigs of a miner, are one. Else ''."""
    if not isinstance(event, ShareFound) or event.is_block:
        return ""
    return f"{event.worker.engine}/{event.worker.name.partition('.')[0]}"
