"""Tracks a node's best block from hints by ZMQ and IPC and from polls, and posts each change once.

ZMQ is fast but may repeat, reorder, skip or stop; polling is slow but right. A hint of a new block is accepted at once
and confirmed by an immediate poll; a hint of a former tip (a repetition, or a reorganization back to it) waits for that
poll, which takes a millisecond. A poll that was sent before the last change is inconclusive and is repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from solominer.chain.hashes import to_rpc_hex
from solominer.work.events import NewTip
from solominer.work.instant import Clock

_log = logging.getLogger("solominer.node.tips")
_REMEMBERED_TIPS = 64


class TipWatch:
    """The best block of the node called `node`; `post` gets a NewTip for each change of it, stamped with `clock`.

    Used from one event loop; nothing here waits but `wait_for_kick`.
    """

    def __init__(self, node: str, post: Callable[[NewTip], None], clock: Clock) -> None:
        self.best_le = b""
        """The best hash known, internal order; empty before the first."""
        self.changes = 0
        """How often it has changed; a poll returns the number at its start to `polled`."""
        self._node, self._post, self._clock = node, post, clock
        self._left: deque[bytes] = deque(maxlen=_REMEMBERED_TIPS)
        self._kicked = asyncio.Event()

    def hinted(self, hash_le: bytes, source: str = "zmq") -> None:
        """ZMQ or IPC announced a new best block."""
        if hash_le != self.best_le and hash_le not in self._left:
            self._change(hash_le, source)
        self.kick()

    def polled(self, hash_le: bytes, changes_before: int, source: str = "poll") -> bool:
        """The node reported its best block; returns whether it is new. `changes_before`: `changes` before the call."""
        if hash_le == self.best_le:
            return False
        if changes_before != self.changes:
            self.kick()  # the answer may be older than what came in meanwhile
            return False
        self._change(hash_le, source)
        return True

    def kick(self) -> None:
        """Make the next poll happen at once."""
        self._kicked.set()

    async def wait_for_kick(self, timeout_secs: float) -> None:
        """Return at the next kick, or after `timeout_secs`."""
        try:
            async with asyncio.timeout(timeout_secs):
                await self._kicked.wait()
        except TimeoutError:
            pass
        self._kicked.clear()

    def _change(self, hash_le: bytes, source: str) -> None:
        if self.best_le:
            self._left.append(self.best_le)
        self.best_le = hash_le
        self.changes += 1
        self._post(NewTip(self._clock(), self._node, hash_le, source))
        _log.info("node %s has a new tip %s (by %s)", self._node, to_rpc_hex(hash_le), source)
