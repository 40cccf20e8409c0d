"""Publishes so that of two heads one alone reaches a stream: that of the newest job, and that of the `Vault`.

Each message names the one before it, and the server refuses it if another is the newest: whoever has not heard of
another head is refused, however late its messages arrive. The first one names a sequence number; the others name an id,
so that one on its way behind a refused one is refused too, which a number that was guessed ahead might not be.

Nodes hear a message before the server has decided, and take the one of the newest run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from nats.aio.client import Client
from nats.js.errors import APIError

from solominer.engines.cluster import subjects
from solominer.engines.cluster.connection import LOST

ACK_SECS = 2.0
_ID, _LAST_ID = "Nats-Msg-Id", "Nats-Expected-Last-Msg-Id"
_LAST_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
_OVERTAKEN = (10070, 10071, 10164)
"""Wrong last message id, wrong last sequence, and that without its number, in the server's errors.json."""

log = logging.getLogger(__name__)


class Fence:
    """`look_again` is called when the newest message is not the one that was named: find out, call `begin`, publish."""

    def __init__(self, look_again: Callable[[], None], subject: str = subjects.JOB) -> None:
        self._look_again, self._subject = look_again, subject
        self._name, self._count = os.urandom(8).hex(), 0
        self._before = (_LAST_SEQUENCE, "0")

    def begin(self, sequence: int) -> None:
        """The newest message of the stream has this number, 0 if there is none."""
        self._before = (_LAST_SEQUENCE, str(sequence))

    async def publish(self, client: Client, data: bytes, more: Mapping[str, str] = MappingProxyType({})) -> bool:
        """Send a message now, with `more` headers. Returns whether the server has it, as soon as that is known."""
        self._count += 1
        header, before = self._before
        headers = {header: before, _ID: f"{self._name}-{self._count}", **more}
        self._before = (_LAST_ID, headers[_ID])
        try:
            await client.jetstream().publish(self._subject, data, timeout=ACK_SECS, headers=headers)
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
