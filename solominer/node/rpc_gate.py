"""Turns at a node with few RPC threads (rpcthreads, rpcworkqueue): one call of ours at a time, found blocks first.

A node that has threads to spare is asked in parallel. One where a call of ours had to wait for another, or that
answered HTTP 503 because its work queue was full, counts as crowded for a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

_log = logging.getLogger("solominer.node.client")

CROWDED_SECS = 600.0
"""How long a node counts as crowded after the last sign of it."""

TURN_SECS = 5.0
"""How long a call waits for its turn at most, so that one that hangs does not hide that the node is lost."""

RPC_THREADS_TODO = "set rpcthreads=4 (or more) and no small rpcworkqueue in bitcoin.conf and restart the node"


class RpcGate:
    """The turns at the node called `node`. `steady` is a clock that never jumps."""

    def __init__(self, node: str, steady: Callable[[], float] = time.monotonic) -> None:
        self._node, self._steady = node, steady
        self._until = float("-inf")
        self._warned = False
        self._turn = asyncio.Lock()
        self._sending = 0
        self._none_sending = asyncio.Event()
        self._none_sending.set()

    @property
    def crowded(self) -> bool:
        """Whether calls take turns now."""
        return self._steady() < self._until

    def crowd(self, reason: str, consequence: str = "calls to it take turns, found blocks first") -> None:
        """The node has too few threads for what is asked; one warning. May be called from any thread."""
        self._until = self._steady() + CROWDED_SECS
        level, self._warned = (logging.DEBUG if self._warned else logging.WARNING), True
        _log.log(level, "node %s: %s; %s -> %s", self._node, reason, consequence, RPC_THREADS_TODO)

    def queue_full(self) -> None:
        """The node answered HTTP 503, its work queue is full."""
        self.crowd("its RPC work queue is full (HTTP 503)")

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Around every call that can wait. At a crowded node it waits for the one before, and for blocks being sent."""
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
        """Around the sending of a block: it waits for nothing, and no turn begins meanwhile at a crowded node."""
        self._sending += 1
        self._none_sending.clear()
        try:
            yield
        finally:
            self._sending -= 1
            if not self._sending:
                self._none_sending.set()
