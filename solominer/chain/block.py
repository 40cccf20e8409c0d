"""Blocks: assembly and the limits on size, weight and signature operations (BIP 141, src/consensus/consensus.h)."""

from __future__ import annotations

from collections.abc import Sequence

from solominer.chain.header import HEADER_SIZE
from solominer.chain.serialize import compact_size
from solominer.errors import BadValue

MAX_BLOCK_WEIGHT = 4_000_000
MAX_BLOCK_SIGOP_COST = 80_000


def assemble_block_hex(header: bytes, coinbase: bytes, transactions_hex: Sequence[str]) -> str:
    """The block as submitblock takes it: header, count, coinbase with witness, then the template's data in order."""
    if len(header) != HEADER_SIZE:
        raise BadValue(f"a header has {HEADER_SIZE} bytes, not {len(header)}")
    start = header + compact_size(1 + len(transactions_hex)) + coinbase
    return start.hex() + "".join(transactions_hex)


def block_weight(coinbase_weight: int, transaction_weights: Sequence[int]) -> int:
    """Weight of the whole block: header and count are not witness, so they count four times."""
    overhead = HEADER_SIZE + len(compact_size(1 + len(transaction_weights)))
    return 4 * overhead + coinbase_weight + sum(transaction_weights)
