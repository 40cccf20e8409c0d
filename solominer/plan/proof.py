"""The search plan in a proof: which plan, which worker, and where in its walk the header was met; and its check.

A proof's `plan` holds the search claim, the version mask and extranonce that it was made with, and (for blocks) the
plan's facts. So whoever has the proof can walk the plan to the claimed position and compare: the search is checkable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solominer.chain.header import Header
from solominer.errors import PlanError, VerifyError
from solominer.plan.checks import SearchClaim, replay
from solominer.plan.parse import plan_of_facts
from solominer.plan.plan import BIP320_BITS, SearchPlan

_BIP320_MASK = sum(1 << bit for bit in BIP320_BITS)


def plan_section(
    claim: SearchClaim, version_mask: int, extranonce: bytes, plan: SearchPlan | None = None
) -> dict[str, Any]:
    """What a proof says about the search, as JSON values. `extranonce` is both halves; `plan` adds the plan's facts,
    without which the reader needs the plan from elsewhere."""
    section = {**claim.to_json(), "version_mask": f"{version_mask:08x}", "extranonce_hex": extranonce.hex()}
    return section if plan is None else {**section, "facts": plan.facts()}


def check_section(
    section: Mapping[str, Any], header: Header, script_sig: bytes | None, plan: SearchPlan | None = None
) -> SearchClaim | None:
    """Walk the plan to the claimed position and compare with the header; None where no plan is at hand to walk.

    `script_sig` is the coinbase's, which must hold the extranonce (None: the proof has no coinbase). `plan` is walked
    if given, else the one in the section. Raises VerifyError with what does not hold.
    """
    claim = SearchClaim.from_json(section)
    mask = _hex_int(section, "version_mask", 4)
    extranonce = _hex_int(section, "extranonce_hex", 12).to_bytes(12, "big")
    if mask & ~_BIP320_MASK:
        raise VerifyError(f"the search claim's version mask {mask:08x} leaves the bits of BIP 320")
    if script_sig is not None and b"\x0c" + extranonce not in script_sig:
        raise VerifyError("the coinbase does not hold the search claim's extranonce")
    if claim.extranonce != int.from_bytes(extranonce[-4:], "big"):
        raise VerifyError("the search claim names two extranonces")
    if plan is None:
        if "facts" not in section:
            return None
        try:
            plan = plan_of_facts(section["facts"])
        except PlanError as error:
            raise VerifyError(f"the proof's search plan is none: {error.group}: {error.reason}") from error
    replay(plan, claim, header.version & mask, header.nonce, mask)
    return claim


def _hex_int(section: Mapping[str, Any], name: str, size: int) -> int:
    text = section.get(name)
    try:
        raw = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != size or raw.hex() != text:
        raise VerifyError(f"the search claim's {name} is not {size} bytes in hex", "compare the file")
    return int.from_bytes(raw, "big")
