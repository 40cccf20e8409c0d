"""No node takes the place of others: one that sends what is no new work without end is heard less.

Each node has an allowance for such messages, beats and requests to join; new work adds to it, since it costs hashes.
Beyond it the head hears the node's shares from the stream alone, and lets the server make room for more of them at the
allowance's pace. There each node has room for a fixed number (`streams`), so that the server refuses the rest without
writing it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from solominer.engines.cluster import subjects
from solominer.engines.cluster.complaints import Complaints
from solominer.engines.cluster.connection import LOST
from solominer.engines.cluster.joins import Heard, Joins

MOST_AT_ONCE, PER_SEC = 300.0, 100.0
"""A node's allowance, and what it gets back."""
_NEW_WORK = 2.0
"""What new work adds: its second copy, from the stream, is no new work."""
LATER_SECS = 10.0
_LATER = b'-NAK {"delay": %d}' % (LATER_SECS * 1e9)
ACK = b"+ACK"
_FLOODS = "sends without end: what it sends waits, that of other nodes does not -> solominer cluster remove %s"

log = logging.getLogger(__name__)


class Fairness:
    """What each node may send. `share` takes its direct copies, `beat` its beats, `join` its requests to join.

    `go` starts a task, `names` reads the cluster's nodes from the disk.
    """

    def __init__(
        self,
        share: Heard,
        beat: Heard,
        join: Heard,
        *,
        go: Callable[[Coroutine[Any, Any, None]], None],
        names: Callable[[], Iterable[str]],
        complaints: Complaints,
    ) -> None:
        self._share, self._beat, self._go, self._complaints = share, beat, go, complaints
        self._joins = Joins(self._unless_muted(join), names)
        self._client: Client | None = None
        self._left: dict[str, tuple[float, float]] = {}
        self._direct: dict[str, list[Subscription]] = {}
        self._muted: dict[str, float] = {}

    async def hear_joins(self, client: Client) -> None:
        """Hear the requests to join of all that are not muted, from now on. Raises nats.errors.Error."""
        self._client = client
        await self._joins.hear(client, self._muted, self._direct)

    async def hear(self, client: Client, node: str) -> None:
        """Hear a node's shares directly, and its beats. Raises nats.errors.Error."""
        if node not in self._direct and node not in self._muted:
            heard = self._direct[node] = []
            heard.append(await client.subscribe(subjects.share_subject(node), cb=self._unless_muted(self._share)))
            heard.append(await client.subscribe(subjects.beat_subject(node), cb=self._unless_muted(self._beat)))

    def _unless_muted(self, take: Heard) -> Heard:
        async def heard(message: Msg) -> None:
            if subjects.node_of(message.subject) not in self._muted:
                await take(message)

        return heard

    async def look(self, client: Client) -> None:
        """Hear those again that were muted long enough."""
        now = time.monotonic()
        for node in [node for node, at in self._muted.items() if now - at > LATER_SECS]:
            del self._muted[node]
            try:
                await self.hear(client, node)
            except LOST:  # the stream has its shares, too
                self._muted[node] = now
        if self._client is not None:  # the run has begun
            with suppress(*LOST):  # it is tried again a second later
                await self.hear_joins(self._client)

    def new_work(self, node: str) -> None:
        """It sent a share that counts."""
        left, at = self._left.get(node, (MOST_AT_ONCE, time.monotonic()))
        self._left[node] = left + _NEW_WORK, at

    def answer(self, node: str, is_from_stream: bool) -> bytes:
        """What the server is to do with what is no new work: forget it, or send it again later."""
        now = time.monotonic()
        left, at = self._left.get(node, (MOST_AT_ONCE, now))
        left = min(MOST_AT_ONCE, left + (now - at) * PER_SEC)
        self._left[node] = max(0.0, left - 1.0), now
        if left >= 1.0:
            return ACK
        self._complaints.say(logging.WARNING, node, _FLOODS, node)
        if not is_from_stream and node not in self._muted:
            self._muted[node] = now
            self._go(self._mute(self._direct.pop(node, [])))
        return _LATER

    async def _mute(self, direct: list[Subscription]) -> None:
        try:
            for each in direct:
                await each.unsubscribe()
            if self._client is not None:
                await self.hear_joins(self._client)
        except LOST as error:
            log.debug("a node is still heard: %s", error)
