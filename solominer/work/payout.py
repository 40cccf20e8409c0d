"""Who a block pays: one script, or a split by basis points. Exact integers; nothing is lost to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from solominer.chain.serialize import compact_size
from solominer.chain.transaction import TxOut
from solominer.errors import PayoutError

WHOLE = 10_000
"""Basis points of a whole block."""

_DUST_SATS_PER_BYTE = 3
_COMMITMENT_BYTES = 8 + 1 + 38
_COINBASE_FIXED_BYTES = 4 + 1 + 36 + 1 + 4 + 4


class PayoutPart(NamedTuple):
    """One payee's part of each block: 1 to 9,999 basis points, rounded down to whole satoshis."""

    script_pubkey: bytes
    address: str
    basis_points: int


@dataclass(frozen=True, slots=True)
class Payout:
    """Who is paid: `others` their parts of the coinbase value, `script_pubkey` all the rest.

    Scripts come from the node's validateaddress. Raises PayoutError if a script is paid twice or nothing is left for
    the first.
    """

    script_pubkey: bytes
    address: str = ""
    others: tuple[PayoutPart, ...] = ()

    def __post_init__(self) -> None:
        if len({part.script_pubkey for part in self.parts}) != len(self.parts):
            raise PayoutError("the payout split names an address twice", "add its parts up")
        if any(part.basis_points < 1 for part in self.parts):
            raise PayoutError("the parts of the payout split do not sum to 10000", "make them sum to 10000 (100 %)")

    @property
    def parts(self) -> tuple[PayoutPart, ...]:
        """Every payee; the first one's basis points are what the others leave, and rounding adds to its satoshis."""
        rest = WHOLE - sum(part.basis_points for part in self.others)
        return (PayoutPart(self.script_pubkey, self.address, rest), *self.others)

    def outputs(self, coinbase_value: int) -> tuple[TxOut, ...]:
        """The payout outputs for `coinbase_value` satoshis. Raises PayoutError if a split has a part that is dust."""
        amounts = [coinbase_value * part.basis_points // WHOLE for part in self.others]
        amounts.insert(0, coinbase_value - sum(amounts))
        if self.others:
            for part, amount in zip(self.parts, amounts, strict=True):
                if amount < dust_sats(part.script_pubkey):
                    raise PayoutError(
                        f"{part.address} would be paid {amount} satoshis of a block of {coinbase_value}, which is dust",
                        "give it a larger part in payout_split, or remove it",
                    )
        return tuple(TxOut(amount, part.script_pubkey) for part, amount in zip(self.parts, amounts, strict=True))

    def describe(self) -> str:
        """One line for people: the address, or all of a split with their parts in percent."""
        if not self.others:
            return self.address or self.script_pubkey.hex()
        return ", ".join(f"{part.address} {percent(part.basis_points)}" for part in self.parts)


def split(parts: Sequence[tuple[Payout, int]]) -> Payout:
    """The Payout of several (single payout, basis points). Raises PayoutError as Payout does."""
    (first, _), *others = parts
    more = tuple(PayoutPart(each.script_pubkey, each.address, points) for each, points in others)
    return Payout(first.script_pubkey, first.address, more)


def percent(basis_points: int) -> str:
    """Basis points for people: 150 is `1.5 %`."""
    return f"{basis_points / 100:g} %"


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
