"""Who is heard when it asks to join: every node, or, while some ask without end, each of the others by its name.

The server knows no subject for "all but these", and what the head merely ignores still fills its connection: the shares
of all others would wait behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from solominer.engines.cluster import subjects

Heard = Callable[[Msg], Awaitable[None]]


class Joins:
    """The subscriptions to requests, which `take` hears; `names` reads the cluster's nodes from the disk."""

    def __init__(self, take: Heard, names: Callable[[], Iterable[str]]) -> None:
        self._take, self._names = take, names
        self._heard: dict[str, Subscription] = {}
        self._changing = asyncio.Lock()

    async def hear(self, client: Client, but: Collection[str], known: Iterable[str]) -> None:
        """Hear all nodes, or those that are in the cluster or `known`, without `but`. Raises nats.errors.Error."""
        async with self._changing:
            wanted = {subjects.ALL_JOINS}
            if but:
                names = await asyncio.to_thread(self._names)
                wanted = {subjects.join_subject(node) for node in {*names, *known} if node not in but}
            for subject in self._heard.keys() - wanted:
                await self._heard.pop(subject).unsubscribe()
            for subject in wanted - self._heard.keys():
                self._heard[subject] = await client.subscribe(subject, cb=self._take)
