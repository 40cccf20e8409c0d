"""A block's header as a node tells it, believed only where it hashes to the block that was asked about."""

from __future__ import annotations

from dataclasses import dataclass

from solominer.chain.fields import MAX_HEIGHT, MAX_TIME
from solominer.chain.hashes import ZERO_HASH, to_rpc_hex
from solominer.chain.header import Header
from solominer.errors import NodeError, RpcFailed
from solominer.node.rpc import NOT_IN_BETWEEN, OUT_OF_RANGE, RpcClient


@dataclass(frozen=True, slots=True)
class KnownHeader:
    """A header and what the node says of it beside, which no hash proves: height, median time past, confirmations."""

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
        client.close()  # whatever mixes replies up may do it again on this connection
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
    """The hash of the active block at a height, b"" where the chain is shorter. Raises NodeError."""
    try:
        return client.ask("getblockhash", height).hash_le()
    except RpcFailed as error:
        if error.code != OUT_OF_RANGE:
            raise
        return b""


def contradiction(client: RpcClient, what: str) -> NodeError:
    """The error that two answers of a node do not fit together."""
    return NodeError(f"{client.node} contradicts itself: {what}", f"asked again; if this stays, {NOT_IN_BETWEEN}")
