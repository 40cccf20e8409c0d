"""Where a node client under test posts its events: they are kept, and can be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from solominer.work.events import Event

_E = TypeVar("_E", bound=Event)


class Inbox:
    """What the node client posted, and a way to wait for more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def post(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[_E]) -> list[_E]:
        """All events of a kind so far."""
        return [each for each in self.events if isinstance(each, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds after some event."""
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def next(self, kind: type[_E], fits: Callable[[_E], bool] = lambda _: True) -> _E:
        """The first event of a kind that fits, as soon as there is one."""
        await self.until(lambda: any(fits(each) for each in self.of(kind)))
        return next(each for each in self.of(kind) if fits(each))
