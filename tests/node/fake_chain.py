"""A chain of headers for a fake node to tell of: any height's time and bits are computed, so it may be long.

Each header hashes to what its block is called. The newest blocks are linked; further down, where nobody goes from block
to block, each names a made-up parent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from solominer.chain.hashes import ZERO_HASH, to_rpc_hex
from solominer.chain.header import Header
from tests.node.fake_node import FakeNode

LINKED = 9000


def told_header(header: Header, height: int, confirmations: int = 1, median_time: int | None = None) -> dict[str, Any]:
    """What getblockheader says of a header."""
    answer = {
        "hash": to_rpc_hex(header.hash_le()),
        "confirmations": confirmations,
        "height": height,
        "version": header.version,
        "merkleroot": to_rpc_hex(header.merkle_root_le),
        "time": header.ntime,
        "mediantime": header.ntime if median_time is None else median_time,
        "nonce": header.nonce,
        "bits": f"{header.nbits:08x}",
    }
    first = header.prevhash_le == ZERO_HASH
    return answer if first else {**answer, "previousblockhash": to_rpc_hex(header.prevhash_le)}


@dataclass(frozen=True)
class FakeChain:
    """Blocks every `spacing_secs`; epoch n has the bits `nbits[n]` (the last ones from there on)."""

    height: int
    nbits: tuple[int, ...]
    spacing_secs: float = 600.0
    tip_time: int = 1_780_000_000
    _made: dict[int, Header] = field(default_factory=dict)
    _heights: dict[str, int] = field(default_factory=dict)

    def time(self, height: int) -> int:
        """The header's time at a height."""
        below = self.height - height
        old = max(0, below - LINKED)  # these come every ten minutes: a header's time has 32 bits
        return self.tip_time - round((below - old) * self.spacing_secs + old * 600)

    def block(self, height: int) -> Header:
        """The header at a height."""
        for each in range(max(0, self.height - LINKED), height) if height > self.height - LINKED else ():
            self._make(each)
        return self._make(height)

    def hash_hex(self, height: int) -> str:
        """What the block at a height is called."""
        return to_rpc_hex(self.block(height).hash_le())

    def header(self, hash_hex: str) -> dict[str, Any]:
        """What getblockheader says of a hash of ours."""
        height = self._heights[hash_hex]
        return told_header(self.block(height), height, self.height - height + 1)

    def told_by(self, node: FakeNode) -> None:
        """Have the node answer for this chain."""
        node.answers = {
            "getblockchaininfo": {"chain": "main", "blocks": self.height},
            "getblockhash": self.hash_hex,
            "getblockheader": self.header,
        }

    def _make(self, height: int) -> Header:
        if height not in self._made:
            below = self._made.get(height - 1)
            parent = ZERO_HASH if height == 0 else below.hash_le() if below else b"\1" * 32
            bits = self.nbits[min(height // 2016, len(self.nbits) - 1)]
            made = self._made[height] = Header(0x20000000, parent, bytes(32), self.time(height), bits, height)
            self._heights[to_rpc_hex(made.hash_le())] = height
        return self._made[height]
