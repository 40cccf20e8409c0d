"""Publishes so that of two heads one alone reaches a stream: that of the newest job, and that of the `Vault`.

Each message names the number of the one before it, and the server refuses it if another is the newest: whoever has not
heard of another head is refused, however late its messages arrive. A number is one that the server has told, never a
guess: so one message at a time is on its way to the stream. (Naming the last one's id instead would allow more. But
three servers of nats-server 2.15.1 have no stream any more once a message with a wrong id came: each fails in applying
it.)

Nodes hear a message before the server has decided, and take the one of the newest run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from nats.aio.client import Client
from nats.js.errors import APIError

from solominer.engines.cluster import subjects
from solominer.engines.cluster.connection import LOST

ACK_SECS = 2.0
_BEFORE = "Nats-Expected-Last-Subject-Sequence"
_OVERTAKEN = (10071, 10164)
"""Wrong last sequence, and that without its number, in the server's errors.json."""

log = logging.getLogger(__name__)


class Fence:
    """`look_again` is called when the newest message is not the one that was named: find out, call `begin`, publish."""

    def __init__(self, look_again: Callable[[], None], subject: str = subjects.JOB) -> None:
        self._look_again, self._subject = look_again, subject
        self._before = self._count = 0
        self._free = asyncio.Lock()

    def begin(self, sequence: int) -> None:
        """The newest message of the stream has this number, 0 if there is none."""
        self._before = sequence

    async def publish(self, client: Client, data: bytes, more: Mapping[str, str] = MappingProxyType({})) -> bool:
        """Send a message now, with `more` headers. Returns whether the server has it, as soon as that is known.

        If one is on its way, nodes alone get this one now, and the stream when that has arrived; unless a newer one
        comes meanwhile.
        """
        self._count += 1
        number = self._count
        try:
            if self._free.locked():
                await client.publish(self._subject, data, headers={_BEFORE: str(self._before), **more})
            async with self._free:
                if number != self._count:
                    return False
                headers = {_BEFORE: str(self._before), **more}
                ack = await client.jetstream().publish(self._subject, data, timeout=ACK_SECS, headers=headers)
                self._before = ack.seq
        except APIError as error:
            if error.err_code not in _OVERTAKEN:
                log.warning("the cluster's server does not keep the newest job: %s", error.description)
            self._look_again()
            return False
        except LOST:  # it is sent again when the server is back
            log.debug("a job could not be sent")
            if client.is_connected:
                self._look_again()
            return False
        return True
