"""Who a block pays: one script, or a split by basis points. Exact integers; nothing is lost to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from solominer.chain.script import payout_type
from solominer.chain.serialize import compact_size
from solominer.chain.transaction import TxOut
from solominer.errors import PayoutError

WHOLE = 10_000
_DUST_SATS_PER_BYTE = 3
_COMMITMENT_BYTES = 8 + 1 + 38
_COINBASE_FIXED_BYTES = 4 + 1 + 36 + 1 + 4 + 4


class PayoutPart(NamedTuple):
    """Somebody's part of each block; `label` is an address or a name for people."""

    label: str
    script: bytes
    basis_points: int


class Split:
    """Parts that make a whole. What is left over by rounding down goes to the first."""

    def __init__(self, parts: Sequence[PayoutPart]) -> None:
        """Raises PayoutError unless the parts are 1 to 10,000 basis points, sum to 10,000, and go to distinct scripts.

        Scripts that rule 29 of the mining rules refuses are refused here.
        """
        for part in parts:
            payout_type(part.script)
            if not 0 < part.basis_points <= WHOLE:
                raise PayoutError(f"{part.label} is to be paid {part.basis_points} basis points", "use 1 to 10000")
        total = sum(part.basis_points for part in parts)
        if total != WHOLE:
            raise PayoutError(f"the payout split sums to {total} basis points", "make it 10000, which is 100 %")
        if len({part.script for part in parts}) != len(parts):
            raise PayoutError("the payout split names an address twice", "add its parts up")
        self.parts = tuple(parts)

    def outputs(self, value_sats: int) -> tuple[TxOut, ...]:
        """What each part is paid of `value_sats`, in order. Raises PayoutError if that would be dust for anybody."""
        amounts = [value_sats * part.basis_points // WHOLE for part in self.parts]
        amounts[0] += value_sats - sum(amounts)
        if len(self.parts) > 1:
            for part, amount in zip(self.parts, amounts, strict=True):
                if amount < dust_sats(part.script):
                    raise PayoutError(
                        f"{part.label} would be paid {amount} satoshis of a block of {value_sats}: too little to spend",
                        "give it more basis points, or leave it out",
                    )
        return tuple(TxOut(amount, part.script) for part, amount in zip(self.parts, amounts, strict=True))


def dust_sats(script: bytes) -> int:
    """Below how many satoshis an output costs more to spend than it is worth (src/policy/policy.cpp, at 3 sat/vB)."""
    is_witness = len(script) >= 4 and (script[0] == 0 or 0x51 <= script[0] <= 0x60) and script[1] == len(script) - 2
    spending = 32 + 4 + 1 + (107 // 4 if is_witness else 107) + 4
    return _DUST_SATS_PER_BYTE * (output_bytes(script) + spending)


def output_bytes(script: bytes) -> int:
    """Size of an output that pays `script`."""
    return 8 + len(compact_size(len(script))) + len(script)


def coinbase_bytes(scripts: Sequence[bytes], script_sig_bytes: int) -> int:
    """Size of a stripped coinbase that pays `scripts` and commits to the witnesses."""
    outputs = len(compact_size(len(scripts) + 1)) + sum(map(output_bytes, scripts)) + _COMMITMENT_BYTES
    return _COINBASE_FIXED_BYTES + script_sig_bytes + outputs
