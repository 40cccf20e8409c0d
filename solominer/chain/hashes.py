"""Double SHA-256 and the two byte orders of a hash.

A hash travels as 32 bytes in *internal* order (the order SHA-256 gives, `_le`: read as a little-endian integer it is
the number compared with the target) and is shown by Bitcoin Core's RPC as 64 hex digits in reversed order (`_hex`).
"""

from __future__ import annotations

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
