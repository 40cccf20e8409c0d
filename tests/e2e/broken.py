"""Blocks that are wrong in exactly one way, serialized here by code that shares nothing with the program's own."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from regtest.raw import P2WSH_TRUE

COMMITMENT_PREFIX = bytes.fromhex("6a24aa21a9ed")


def twice(data: bytes) -> bytes:
    """SHA-256 of SHA-256."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def size(number: int) -> bytes:
    """CompactSize."""
    if number < 0xFD:
        return bytes([number])
    return b"\xfd" + struct.pack("<H", number) if number < 0x10000 else b"\xfe" + struct.pack("<I", number)


def tree(row: Sequence[bytes]) -> bytes:
    """Merkle root of hashes in internal order."""
    while len(row) > 1:
        row = [twice(row[i] + row[min(i + 1, len(row) - 1)]) for i in range(0, len(row), 2)]
    return row[0]


def height_push(height: int) -> bytes:
    """BIP 34, for heights from 17 on."""
    raw = height.to_bytes(height.bit_length() // 8 + 1, "little")
    return bytes([len(raw)]) + raw


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction of the template: bytes and hashes in internal order."""

    data: bytes
    txid_le: bytes
    wtxid_le: bytes


@dataclass(frozen=True, slots=True)
class Parts:
    """A block in pieces; a test replaces one of them. `salt` makes the coinbase differ from any other."""

    height: int
    value: int
    txs: tuple[Tx, ...]
    prevhash_le: bytes
    nbits: int
    time: int
    version: int = 0x20000000
    salt: bytes = b"\x08saltsalt"
    script_sig: bytes | None = None
    prev_index: int = 0xFFFFFFFF
    locktime: int | None = None
    commitment: bytes | None = None  # None: the right one; b"": no such output
    more_outputs: tuple[tuple[int, bytes], ...] = ()
    no_outputs: bool = False
    witness: tuple[bytes, ...] | None = (bytes(32),)
    second_coinbase: bool = False
    root_le: bytes | None = None
    root_over_wtxids: bool = False
    solved: bool = True

    @classmethod
    def of(cls, template: dict[str, Any], salt: int) -> Parts:
        """A block that is right in all its parts, from a getblocktemplate reply."""
        txs = tuple(
            Tx(bytes.fromhex(tx["data"]), bytes.fromhex(tx["txid"])[::-1], bytes.fromhex(tx["hash"])[::-1])
            for tx in template["transactions"]
        )
        return cls(
            height=template["height"],
            value=template["coinbasevalue"],
            txs=txs,
            prevhash_le=bytes.fromhex(template["previousblockhash"])[::-1],
            nbits=int(template["bits"], 16),
            time=template["curtime"],
            version=template["version"],
            salt=b"\x08" + salt.to_bytes(8, "big"),
        )

    def block_hex(self) -> str:
        """The block, solved or made to miss its target."""
        return self._block().hex()

    def hash_le(self) -> bytes:
        """Hash of the header, internal order."""
        return twice(self._block()[:80])

    def then(self, **changes: Any) -> Parts:
        """The same with some pieces replaced."""
        return replace(self, **changes)

    def _coinbase(self, *, full: bool, salt: bytes) -> bytes:
        script_sig = height_push(self.height) + salt if self.script_sig is None else self.script_sig
        outputs = [(self.value, P2WSH_TRUE.script), *self.more_outputs]
        wtxids = [bytes(32), *(tx.wtxid_le for tx in self.txs)]
        commitment = twice(tree(wtxids) + bytes(32)) if self.commitment is None else self.commitment
        if commitment:
            outputs.append((0, COMMITMENT_PREFIX + commitment))
        if self.no_outputs:
            outputs = []
        has_witness = full and self.witness is not None
        locktime = self.height - 1 if self.locktime is None else self.locktime
        parts = [
            struct.pack("<I", 2),
            b"\x00\x01" if has_witness else b"",
            b"\x01" + bytes(32) + struct.pack("<I", self.prev_index),
            size(len(script_sig)) + script_sig + b"\xfe\xff\xff\xff",
            size(len(outputs)) + b"".join(struct.pack("<Q", sats) + size(len(out)) + out for sats, out in outputs),
        ]
        if has_witness and self.witness is not None:
            parts.append(size(len(self.witness)) + b"".join(size(len(item)) + item for item in self.witness))
        return b"".join([*parts, struct.pack("<I", locktime)])

    def _block(self) -> bytes:
        coinbases = [self.salt, b"\x08" + bytes(8)] if self.second_coinbase else [self.salt]
        firsts = [self._coinbase(full=True, salt=salt) for salt in coinbases]
        leaves = [twice(self._coinbase(full=False, salt=salt)) for salt in coinbases]
        leaves += [tx.wtxid_le if self.root_over_wtxids else tx.txid_le for tx in self.txs]
        root = tree(leaves) if self.root_le is None else self.root_le
        body = size(len(firsts) + len(self.txs)) + b"".join([*firsts, *(tx.data for tx in self.txs)])
        target = (self.nbits & 0xFFFFFF) << 8 * ((self.nbits >> 24) - 3)
        for nonce in range(1 << 20):
            header = struct.pack("<I", self.version) + self.prevhash_le + root
            header += struct.pack("<III", self.time, self.nbits, nonce)
            if (int.from_bytes(twice(header), "little") <= target) is self.solved:
                return header + body
        raise AssertionError("no nonce")
