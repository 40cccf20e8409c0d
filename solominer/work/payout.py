"""The payees of a block: one script, or a split by basis points. Exact integers; nothing is lost to rounding."""

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
    """The payout: `others` receive their parts of the coinbase value, `script_pubkey` the rest.

    Scripts come from the node's validateaddress. Raises PayoutError for a duplicate script, or if the rest is zero.
    """

    script_pubkey: bytes
    address: str = ""
    others: tuple[PayoutPart, ...] = ()

    def __post_init__(self) -> None:
        if len({part.script_pubkey for part in self.parts}) != len(self.parts):
            raise PayoutError("duplicate address in the payout split", "combine its parts")
        if any(part.basis_points < 1 for part in self.parts):
            raise PayoutError("the parts of the payout split do not sum to 10000", "make them sum to 10000 (100 %)")

    @property
    def parts(self) -> tuple[PayoutPart, ...]:
        """All payees; the first receives the rest of the basis points, and the remainder of rounding."""
        rest = WHOLE - sum(part.basis_points for part in self.others)
        return (PayoutPart(self.script_pubkey, self.address, rest), *self.others)

    def outputs(self, coinbase_value: int) -> tuple[TxOut, ...]:
        """The payout outputs for `coinbase_value` satoshis. Raises PayoutError if a split has a part that is dust."""
        amounts = amounts_of([part.basis_points for part in self.parts], coinbase_value)
        if self.others:
            for part, amount in zip(self.parts, amounts, strict=True):
                if amount < dust_sats(part.script_pubkey):
                    raise PayoutError(
                        f"{part.address} would receive {amount} of {coinbase_value} satoshis, which is dust",
                        "increase its part in payout_split, or remove it",
                    )
        return tuple(TxOut(amount, part.script_pubkey) for part, amount in zip(self.parts, amounts, strict=True))

    def describe(self) -> str:
        """One line for logs: the address, or the addresses of a split with their percentages."""
        if not self.others:
            return self.address or self.script_pubkey.hex()
        return ", ".join(f"{part.address} {percent(part.basis_points)}" for part in self.parts)


def split(parts: Sequence[tuple[Payout, int]]) -> Payout:
    """The Payout of several (single payout, basis points). Raises PayoutError as Payout does."""
    (first, _), *others = parts
    more = tuple(PayoutPart(each.script_pubkey, each.address, points) for each, points in others)
    return Payout(first.script_pubkey, first.address, more)


def amounts_of(basis_points: Sequence[int], value_sats: int) -> list[int]:
    """The satoshis of each part of a block of `value_sats`, rounded down; the first receives the remainder."""
    amounts = [value_sats * points // WHOLE for points in basis_points]
    amounts[0] += value_sats - sum(amounts)
    return amounts


def percent(basis_points: int) -> str:
    """Basis points as text: 150 is `1.5 %`."""
    return f"{basis_points / 100:g} %"


def dust_sats(script: bytes) -> int:
    """Dust threshold of an output in satoshis (GetDustThreshold in src/policy/policy.cpp, at 3 sat/vB)."""
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
