"""A chain of headers for a fake node to tell of: any height's time and bits are computed, so it may be long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.node.fake_node import FakeNode


@dataclass(frozen=True)
class FakeChain:
    """Blocks every `spacing_secs`; epoch n has the bits `nbits[n]` (the last ones from there on)."""

    height: int
    nbits: tuple[int, ...]
    spacing_secs: float = 600.0
    tip_time: int = 1_780_000_000

    def time(self, height: int) -> int:
        """The header's time at a height."""
        return self.tip_time - round((self.height - height) * self.spacing_secs)

    def header(self, hash_hex: str) -> dict[str, Any]:
        """What getblockheader says of a hash of ours."""
        height = int(hash_hex, 16) - 1
        bits = self.nbits[min(height // 2016, len(self.nbits) - 1)]
        answer = {"height": height, "time": self.time(height), "bits": f"{bits:08x}"}
        return answer if height == 0 else {**answer, "previousblockhash": f"{height:064x}"}

    def told_by(self, node: FakeNode) -> None:
        """Have the node answer for this chain."""
        node.answers = {
            "getblockchaininfo": {"blocks": self.height},
            "getblockhash": lambda height: f"{height + 1:064x}",
            "getblockheader": self.header,
        }
