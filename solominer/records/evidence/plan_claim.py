"""A proof's search claim, checked against its header and coinbase by walking the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solominer.chain.header import Header
from solominer.chain.transaction import parse_transaction
from solominer.errors import DecodeError, VerifyError
from solominer.plan.checks import SearchClaim
from solominer.plan.plan import SearchPlan
from solominer.plan.proof import check_section


def replay_proof(proof: Mapping[str, Any], plan: SearchPlan | None = None) -> SearchClaim | None:
    """The claim of a proof, once the plan (given, or the proof's own) was walked to it and met the proof's header.

    None where neither is there to walk. The proof itself is not checked. Raises VerifyError for a proof without a
    claim, and for a claim that does not hold.
    """
    section = proof.get("plan")
    if not isinstance(section, Mapping):
        raise VerifyError("the proof says nothing of a search plan", "it is of a block that no plan led to")
    try:
        header = Header.unpack(bytes.fromhex(proof["header_hex"]))
        coinbase = parse_transaction(bytes.fromhex(proof["coinbase_hex"])) if "coinbase_hex" in proof else None
    except (KeyError, TypeError, ValueError, DecodeError) as error:
        raise VerifyError(f"the proof's header or coinbase cannot be read: {error}") from error
    return check_section(section, header, None if coinbase is None else coinbase.inputs[0].script_sig, plan)
