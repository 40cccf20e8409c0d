"""Compares the chains of two nodes: their tips, and the height up to which they are one."""

from __future__ import annotations

import asyncio
from typing import Protocol

from solominer.work.events import NodeHealth
from solominer.work.forks import common_height


class Chain(Protocol):
    """A node as far as a comparison goes."""

    async def look(self) -> NodeHealth:
        """Its tip."""

    async def hash_at(self, height: int) -> bytes:
        """The active block at a height, empty if there is none. Raises NodeError."""


async def compare(one: Chain, other: Chain) -> tuple[NodeHealth, NodeHealth, int] | None:
    """Looks at both and the last height at which they are one; None where one does not show its chain.

    Asks each at most 4 + 2·log2(height) questions. A tip that moves meanwhile makes the answer a little old, no more.
    Raises NodeError.
    """
    first, second = await asyncio.gather(one.look(), other.look())
    if not first.best_hash_le or not second.best_hash_le:
        return None
    search = common_height(min(first.height, second.height))
    height = next(search)
    while True:
        hashes = await asyncio.gather(one.hash_at(height), other.hash_at(height))
        try:
            height = search.send(hashes[0] == hashes[1])
        except StopIteration as end:
            return first, second, int(end.value)
