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
    """The key, as one process sees it. Methods raise nats.errors.Error or OSError if the servers do not answer."""

    def __init__(self, bucket: KeyValue) -> None:
        self._bucket = bucket
        self._own = f"{socket.gethostname()} {os.urandom(8).hex()}".encode()
        self._revision = 0

    @classmethod
    async def of(cls, client: Client, replicas: int) -> HeadLease:
        """With its bucket on the servers, of which `replicas` keep it."""
        config = KeyValueConfig(LEASE_BUCKET, history=1, ttl=SILENT_SECS, replicas=replicas)
        return cls(await client.jetstream().create_key_value(config))

    async def holder(self) -> str:
        """The host name of the head, '' if there is none."""
        try:
            return _host((await self._bucket.get(LEASE_KEY)).value)
        except KeyNotFoundError:
            return ""

    async def take(self) -> bool:
        """Become the head if there is none; whether this process is it."""
        try:
            self._revision = await self._bucket.create(LEASE_KEY, self._own)
        except KeyNotFoundError:  # it expired while `create` looked at it
            return False
        except KeyWrongLastSequenceError:
            return await self._has_it()
        return True

    async def _has_it(self) -> bool:
        try:
            entry = await self._bucket.get(LEASE_KEY)
        except KeyNotFoundError:
            return False
        if entry.value != self._own:
            return False
        self._revision = entry.revision or 0
        return True

    async def renew(self) -> bool:
        """Stay the head; False: another one is it."""
        try:
            self._revision = await self._bucket.update(LEASE_KEY, self._own, last=self._revision)
        except KeyWrongLastSequenceError:  # it has expired, or the last acknowledgement was lost
            return await self.take() or not await self.holder()
        return True

    async def release(self) -> None:
        """Another may become the head now."""
        if self._revision:
            await self._bucket.delete(LEASE_KEY, last=self._revision)


def _host(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace").partition(" ")[0]
