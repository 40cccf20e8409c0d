"""Serializes calls to a node with few RPC threads (rpcthreads, rpcworkqueue), found blocks first.

Other nodes are called in parallel. A node counts as crowded for a while after one of our calls had to wait for another,
or after HTTP 503 because its work queue was full.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

_log = logging.getLogger("solominer.node.client")

CROWDED_SECS = 600.0
"""How long a node counts as crowded after the last evidence of it."""

TURN_SECS = 5.0
"""The longest wait for a turn, so that a hanging call does not hide that the node is unreachable."""

RPC_THREADS_TODO = "set rpcthreads=4 or more in bitcoin.conf, remove a small rpcworkqueue, and restart the node"


class RpcGate:
    """The turns at the node called `node`."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._until = float("-inf")
        self._warned = False
        self._turn = asyncio.Lock()
        self._sending = 0
        self._none_sending = asyncio.Event()
        self._none_sending.set()

    @property
    def crowded(self) -> bool:
        """Whether calls are serialized now."""
        return time.monotonic() < self._until

    def crowd(self, reason: str, consequence: str = "calls to it take turns, found blocks first") -> None:
        """Record that the node has too few threads; warns once. May be called from any thread."""
        self._until = time.monotonic() + CROWDED_SECS
        level, self._warned = (logging.DEBUG if self._warned else logging.WARNING), True
        _log.log(level, "node %s: %s; %s -> %s", self._node, reason, consequence, RPC_THREADS_TODO)

    def queue_full(self) -> None:
        """The node answered HTTP 503, its work queue is full."""
        self.crowd("its RPC work queue is full (HTTP 503)")

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Context of every call that can wait; on a crowded node it waits for other calls and for block submissions."""
        if not self.crowded:
            yield
            return
        held = False
        try:
            try:
                async with asyncio.timeout(TURN_SECS):
                    held = await self._turn.acquire()
                    await self._none_sending.wait()
            except TimeoutError:
                pass
            yield
        finally:
            if held:
                self._turn.release()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Context of a block submission; never waits. On a crowded node no other call starts meanwhile."""
        self._sending += 1
        self._none_sending.clear()
        try:
            yield
        finally:
            self._sending -= 1
            if not self._sending:
                self._none_sending.set()
