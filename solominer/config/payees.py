"""Settings of a payout split: the payees of a block in addition to `payout_address`, or instead of it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from solominer.chain.address import address_in
from solominer.config.part import Part
from solominer.errors import PayoutError
from solominer.work.payout import WHOLE

MOST_PAYEES = 512
"""Limited by the largest coinbase that miners accept: 16,000 bytes, with outputs of at least 31 bytes."""

_POINTS = re.compile(r"([0-9]{1,5})(?:\s*bps?)?", re.IGNORECASE)
_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2})0*)?\s*%")
_FORMS = 'must be whole basis points (150) or percent with at most two decimals ("1.5%")'


def _basis_points(value: Any) -> int:
    """Basis points as a number or text (150, "150 bp"), or as percent ("1.5%")."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if points := _POINTS.fullmatch(text):
        return int(points[1])
    if percent := _PERCENT.fullmatch(text):
        return 100 * int(percent[1]) + int((percent[2] or "").ljust(2, "0"))
    raise ValueError(_FORMS)


class PayeeConfig(Part):
    """One payee of `payout_split` and its part of each block."""

    address: str = Field(description="an address of this network")
    basis_points: Annotated[int, Field(ge=1, le=WHOLE), BeforeValidator(_basis_points)] = Field(
        description='hundredths of a percent of the block: 150, or "1.5%"'
    )

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            return address_in(value)
        except PayoutError as error:
            raise ValueError(error.what) from None


def payees_of(address: str, parts: tuple[PayeeConfig, ...]) -> tuple[tuple[str, int], ...]:
    """(address, basis points) of all payees of a block. The first also receives the remainder of rounding.

    `address` receives the rest. Raises ValueError if the rest is zero, or not zero and `address` is empty.
    """
    given = tuple((part.address, part.basis_points) for part in parts)
    rest = WHOLE - sum(points for _, points in given)
    if not given:
        return ((address, WHOLE),)
    if len({payee.lower() for payee in (address, *(payee for payee, _ in given))}) != len(given) + 1:
        raise ValueError("duplicate address (payout_address counts too); combine its parts")
    if rest < 0:
        raise ValueError(f"the parts sum to {WHOLE - rest} basis points, the maximum is 10000")
    if address and not rest:
        raise ValueError("no rest for payout_address; remove payout_address, or reduce a part")
    if rest and not address:
        raise ValueError(
            f"the parts sum to {WHOLE - rest} basis points; make it 10000, or set payout_address to receive the rest"
        )
    return ((address, rest), *given) if address else given


def _is_whole(parts: tuple[PayeeConfig, ...], info: ValidationInfo) -> tuple[PayeeConfig, ...]:
    if len(parts) > MOST_PAYEES:
        raise ValueError(f"{len(parts)} payees; the maximum is {MOST_PAYEES}")
    payees_of(info.data.get("payout_address", ""), parts)
    return parts


PayoutSplit = Annotated[
    tuple[PayeeConfig, ...],
    Field(
        description="further payees of each block and their parts; payout_address receives the rest. Without it, the "
        "parts must sum to 10000 basis points",
    ),
    AfterValidator(_is_whole),
]
