"""Block headers from a node, accepted only if they hash to the requested block; the fork point of two nodes' chains."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from solominer.chain.fields import MAX_HEIGHT, MAX_TIME
from solominer.chain.hashes import ZERO_HASH, to_rpc_hex
from solominer.chain.header import Header
from solominer.errors import NodeError, RpcFailed
from solominer.node.rpc import NOT_IN_BETWEEN, OUT_OF_RANGE, RpcClient
from solominer.work.events import NodeHealth
from solominer.work.forks import common_height
from solominer.work.ports import Node


@dataclass(frozen=True, slots=True)
class KnownHeader:
    """A header, and what the node reports about it without proof: height, median time past, confirmations."""

    header: Header
    height: int
    median_time: int
    confirmations: int


def header_of(client: RpcClient, hash_le: bytes) -> KnownHeader:
    """The header of a block, by getblockheader. Raises RpcFailed with NOT_FOUND, or NodeError."""
    answer = client.ask("getblockheader", to_rpc_hex(hash_le))
    previous = answer.get("previousblockhash")  # the first block has none
    header = Header(
        version=answer["version"].integer(-(1 << 31), (1 << 31) - 1) & 0xFFFFFFFF,
        prevhash_le=ZERO_HASH if previous is None else previous.hash_le(),
        merkle_root_le=answer["merkleroot"].hash_le(),
        ntime=answer["time"].integer(0, MAX_TIME),
        nbits=answer["bits"].hex_number(8, 8),
        nonce=answer["nonce"].integer(0, 0xFFFFFFFF),
    )
    if header.hash_le() != hash_le:
        client.close()  # replies on this connection may be mixed up
        raise NodeError(
            f"{client.node} was asked for the header of {to_rpc_hex(hash_le)} and sent that of "
            f"{to_rpc_hex(header.hash_le())}",
            NOT_IN_BETWEEN,
        )
    return KnownHeader(
        header,
        height=answer["height"].integer(0, MAX_HEIGHT),
        median_time=answer["mediantime"].integer(0, header.ntime),
        confirmations=answer["confirmations"].integer(-1, MAX_HEIGHT),
    )


def hash_at(client: RpcClient, height: int) -> bytes:
    """The hash of the active block at a height, b"" if the chain is shorter. Raises NodeError."""
    try:
        return client.ask("getblockhash", height).hash_le()
    except RpcFailed as error:
        if error.code != OUT_OF_RANGE:
            raise
        return b""


def contradiction(client: RpcClient, what: str) -> NodeError:
    """The error for two inconsistent answers of a node."""
    return NodeError(f"{client.node} sent inconsistent answers: {what}", f"retried; if it persists, {NOT_IN_BETWEEN}")


async def compare(one: Node, other: Node) -> tuple[NodeHealth, NodeHealth, int] | None:
    """The health of both nodes and the height of their last common block; None if one does not report its tip.

    Takes at most 4 + 2·log2(height) calls to each. Raises NodeError.
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
