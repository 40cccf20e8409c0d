"""The 80-byte block header (src/primitives/block.h), and blocks: their assembly and their limits on size, weight and
signature operations (BIP 141, src/consensus/consensus.h).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from solominer.chain.hashes import hash_to_int, sha256d
from solominer.chain.serialize import Reader, compact_size
from solominer.errors import BadValue

HEADER_SIZE = 80
_LAYOUT = struct.Struct("<I32s32sIII")


@dataclass(frozen=True, slots=True)
class Header:
    """One header. Hashes are 32 bytes in internal order; the rest are unsigned 32-bit numbers."""

    version: int
    prevhash_le: bytes
    merkle_root_le: bytes
    ntime: int
    nbits: int
    nonce: int

    def pack(self) -> bytes:
        """The 80 bytes that are hashed."""
        try:
            return _LAYOUT.pack(self.version, self.prevhash_le, self.merkle_root_le, self.ntime, self.nbits, self.nonce)
        except struct.error as error:
            raise BadValue(f"a header field is out of range: {error}") from error

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """The header in exactly 80 bytes. Raises Truncated or TrailingData."""
        reader = Reader(data)
        fields = _LAYOUT.unpack(reader.take(HEADER_SIZE))
        reader.finish()
        return cls(*fields)

    def hash_le(self) -> bytes:
        """The block hash in internal order."""
        return sha256d(self.pack())


def meets_target(hash_le: bytes, target: int) -> bool:
    """Proof of work: the hash, read as a little-endian number, is at most the target (src/pow.cpp)."""
    return hash_to_int(hash_le) <= target


MAX_BLOCK_WEIGHT = 4_000_000
MAX_BLOCK_SIGOP_COST = 80_000


def assemble_block_hex(header: bytes, coinbase: bytes, others: int, others_hex: str) -> str:
    """The block as submitblock takes it: header, count, coinbase with witness, then the template's data in order.

    `others` is the number of transactions in `others_hex`.
    """
    if len(header) != HEADER_SIZE:
        raise BadValue(f"a header has {HEADER_SIZE} bytes, not {len(header)}")
    start = header + compact_size(1 + others) + coinbase
    return start.hex() + others_hex


def block_weight(coinbase_weight: int, others: int, others_weight: int) -> int:
    """Weight of the whole block: header and count are not witness, so they count four times.

    `others` is the number of the other transactions, `others_weight` their sum.
    """
    overhead = HEADER_SIZE + len(compact_size(1 + others))
    return 4 * overhead + coinbase_weight + others_weight
