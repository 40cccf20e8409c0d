"""Double SHA-256, the two byte orders of a hash, and Merkle trees.

A hash is 32 bytes in *internal* order (the output of SHA-256, `_le`: as a little-endian integer it is compared with the
target), and 64 hex digits in reversed order in Bitcoin Core's RPC (`_hex`).

Merkle trees are over transaction ids in internal order (src/consensus/merkle.cpp). At odd levels the last node is
paired with itself, so two different lists may have the same root (CVE-2012-2459): equal neighbours are rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from solominer.errors import BadValue

ZERO_HASH = bytes(32)


def sha256d(data: bytes) -> bytes:
    """SHA-256 of SHA-256 of `data`, 32 bytes in internal order (src/hash.h, CHash256)."""
    return sha256(sha256(data).digest()).digest()


def hash_to_int(hash_le: bytes) -> int:
    """The number that proof of work compares with the target: the 32 bytes read little-endian."""
    return int.from_bytes(hash_le, "little")


def to_rpc_hex(hash_le: bytes) -> str:
    """Internal byte order to the reversed hex that RPC, explorers and BIP 22 show."""
    return hash_le[::-1].hex()


def from_rpc_hex(hash_hex: str) -> bytes:
    """Reversed hex of a 32-byte hash to internal byte order.

    Raises BadValue unless it is exactly 64 hex digits.
    """
    try:
        raw = bytes.fromhex(hash_hex)
    except (ValueError, TypeError) as error:
        raise BadValue(f"not a hash in hex: {hash_hex!r:.80}") from error
    if len(raw) != 32 or len(hash_hex) != 64:
        raise BadValue(f"a hash has 64 hex digits, this has {len(hash_hex)}")
    return raw[::-1]


def _next_level(level: Sequence[bytes]) -> list[bytes]:
    if len(level) % 2:
        level = [*level, level[-1]]
    return [sha256(sha256(left + right).digest()).digest() for left, right in zip(level[::2], level[1::2], strict=True)]


def _refuse_equal_pairs(level: Sequence[bytes]) -> None:
    if any(left == right for left, right in zip(level[:-1:2], level[1::2], strict=False)):
        raise BadValue("two neighbours in the Merkle tree are equal (CVE-2012-2459)")


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root of one or more leaves. Raises BadValue for none, or for equal neighbours at any level."""
    if not leaves:
        raise BadValue("a block has at least its coinbase")
    level = list(leaves)
    while len(level) > 1:
        _refuse_equal_pairs(level)
        level = _next_level(level)
    return level[0]


def coinbase_branch(others: Sequence[bytes]) -> tuple[bytes, ...]:
    """The Merkle branch of the coinbase (leaf 0, not passed); `others` are the leaves after it.

    Stratum calls this the merkle_branch. Raises BadValue for equal neighbours.
    """
    branch: list[bytes] = []
    level = list(others)
    while level:
        branch.append(level[0])
        rest = level[1:]
        _refuse_equal_pairs(rest)
        level = _next_level(rest) if rest else []
    return tuple(branch)


def root_from_branch(leaf: bytes, branch: Sequence[bytes]) -> bytes:
    """The root from leaf 0 and its branch."""
    for other in branch:
        leaf = sha256d(leaf + other)
    return leaf


def witness_commitment(witness_root: bytes, reserved_value: bytes) -> bytes:
    """BIP 141's commitment hash: sha256d(witness root, reserved value)."""
    return sha256d(witness_root + reserved_value)
