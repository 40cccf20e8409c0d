"""Which of several daemons is the head: a key on the servers, which the head writes again each second.

It expires SILENT_SECS after it was last written, and then another daemon may take it. What keeps two heads from
publishing side by side is the `Fence`, not this.
"""

from __future__ import annotations

import os
import socket

from nats.aio.client import Client
from nats.js.api import KeyValueConfig
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from solominer.engines.cluster.subjects import LEASE_BUCKET, LEASE_KEY

RENEW_SECS = 1.0
SILENT_SECS = 5.0
"""Longer than a connection takes to come back (2 s), or servers to elect another leader: they seldom cost a head its
place. Nodes hash on in this time; it matters if a new tip comes in it, one time in 120."""


class HeadLease:
    """The key, as one process sees it; `replicas` servers keep it. Methods raise nats.errors.Error or OSError."""

    def __init__(self, client: Client, replicas: int) -> None:
        self._client, self._replicas = client, replicas
        self._own = f"{socket.gethostname()} {os.urandom(8).hex()}".encode()
        self._revision = 0

    async def _bucket(self) -> KeyValue:
        """Made, if the servers have none, or have lost it."""
        config = KeyValueConfig(LEASE_BUCKET, history=1, ttl=SILENT_SECS, replicas=self._replicas)
        return await self._client.jetstream().create_key_value(config)

    async def holder(self) -> str:
        """The host name of the head, '' if there is none."""
        try:
            entry = await (await self._bucket()).get(LEASE_KEY)
        except KeyNotFoundError:
            return ""
        return (entry.value or b"").decode(errors="replace").partition(" ")[0]

    async def take(self) -> bool:
        """Become the head if there is none; whether this process is it."""
        bucket = await self._bucket()
        try:
            try:
                self._revision = await bucket.create(LEASE_KEY, self._own)
            except KeyWrongLastSequenceError:
                entry = await bucket.get(LEASE_KEY)
                if entry.value != self._own:
                    return False
                self._revision = entry.revision or 0
        except KeyNotFoundError:  # it expired meanwhile
            return False
        return True

    async def renew(self) -> bool:
        """Stay the head; False: another one is it."""
        bucket = await self._bucket()
        try:
            self._revision = await bucket.update(LEASE_KEY, self._own, last=self._revision)
        except KeyWrongLastSequenceError:  # it has expired, or the last acknowledgement was lost
            return await self.take() or not await self.holder()
        return True

    async def release(self) -> None:
        """Another may become the head now."""
        if self._revision:
            await (await self._bucket()).delete(LEASE_KEY, last=self._revision)
