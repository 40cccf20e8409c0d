"""The search plan in a proof: which plan, worker and position found the header; and how that is verified.

A proof's `plan` section holds the search claim, its version mask and extranonce, and (for blocks) the plan's facts, so
whoever has the proof can compute what the plan tries at the claimed position and compare it with the header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from solominer.chain.header import Header
from solominer.chain.transaction import parse_transaction
from solominer.errors import DecodeError, PlanError, VerifyError
from solominer.plan.parse import plan_of_facts
from solominer.plan.plan import BIP320_BITS, ENGINE, Candidate, Position, SearchPlan

_BIP320_MASK = sum(1 << bit for bit in BIP320_BITS)
_DAMAGED = "the file is damaged or was edited: restore it from a copy"


@dataclass(frozen=True, slots=True)
class SearchClaim:
    """A proof's claim about how its header was found: by which plan and worker, at which position."""

    plan_hash_hex: str
    engine: str
    worker: int
    worker_count: int
    extranonce: int
    position: Position

    @classmethod
    def of(cls, plan: SearchPlan, candidate: Candidate, mask: int, worker_count: int) -> SearchClaim:
        """The claim for a hit. Raises PlanError if the plan never tries the candidate."""
        worker, _ = plan.owner(candidate.extranonce, worker_count)
        position = plan.position(candidate, mask, worker_count)
        return cls(plan.hash_hex, ENGINE, worker, worker_count, candidate.extranonce, position)

    def to_json(self) -> dict[str, Any]:
        """The claim as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SearchClaim:
        """The inverse of `to_json`. Raises VerifyError for anything else."""
        try:
            numbers = {name: value[name] for name in ("worker", "worker_count", "extranonce")}
            places = {name: value["position"][name] for name in ("k", "version", "step", "offset")}
            for number in (*numbers.values(), *places.values()):
                if type(number) is not int or number < 0:
                    raise VerifyError("the proof's search claim has a value that is not a count", _DAMAGED)
            return cls(str(value["plan_hash_hex"]), str(value["engine"]), position=Position(**places), **numbers)
        except (KeyError, TypeError) as error:
            raise VerifyError(f"the proof's search claim is incomplete: {error}", _DAMAGED) from error


def replay(plan: SearchPlan, claim: SearchClaim, version_bits: int, nonce: int, mask: int) -> None:
    """Compare what the plan tries at the claimed position with the header's version bits (inside `mask`) and nonce.

    Raises VerifyError with the difference.
    """
    if claim.plan_hash_hex != plan.hash_hex:
        raise VerifyError(f"the proof names plan {claim.plan_hash_hex[:16]}", "replay it with that plan")
    if claim.engine != ENGINE:
        raise VerifyError(f"the claimed position does not exist: engine {claim.engine!r:.40} follows no search plan")
    try:
        tried = plan.candidate(claim.position, mask, claim.worker, claim.worker_count)
    except PlanError as error:
        raise VerifyError(f"the claimed position does not exist: {error.reason}") from error
    if tried != Candidate(claim.extranonce, version_bits, nonce):
        raise VerifyError(
            f"at the claimed position the plan tries extranonce {tried.extranonce}, version bits "
            f"{tried.version_bits:08x}, nonce {tried.nonce}; the proof has {claim.extranonce}, "
            f"{version_bits:08x}, {nonce}"
        )


def plan_section(
    claim: SearchClaim, version_mask: int, extranonce: bytes, plan: SearchPlan | None = None
) -> dict[str, Any]:
    """The `plan` section of a proof, as JSON values. `extranonce` is both halves; `plan` adds the plan's facts."""
    section = {**claim.to_json(), "version_mask": f"{version_mask:08x}", "extranonce_hex": extranonce.hex()}
    return section if plan is None else {**section, "facts": plan.facts()}


def check_section(
    section: Mapping[str, Any], header: Header, script_sig: bytes | None, plan: SearchPlan | None = None
) -> SearchClaim | None:
    """Verify a proof's `plan` section against its header; None if neither `plan` nor the section has the plan.

    `script_sig` is the coinbase's, which must contain the extranonce (None: the proof has no coinbase). Raises
    VerifyError with what is wrong.
    """
    claim = SearchClaim.from_json(section)
    mask = int.from_bytes(_hex_bytes(section, "version_mask", 4, 4), "big")
    extranonce = _hex_bytes(section, "extranonce_hex", 4, 12)
    if mask & ~_BIP320_MASK:
        raise VerifyError(f"the search claim's version mask {mask:08x} is not inside the BIP 320 mask")
    if script_sig is not None and extranonce not in script_sig:
        raise VerifyError("the coinbase does not contain the search claim's extranonce")
    if claim.extranonce != int.from_bytes(extranonce[-4:], "big"):
        raise VerifyError("extranonce and extranonce_hex of the search claim differ")
    if plan is None:
        if "facts" not in section:
            return None
        try:
            plan = plan_of_facts(section["facts"])
        except PlanError as error:
            raise VerifyError(f"the proof's search plan is invalid: {error.group}: {error.reason}") from error
    replay(plan, claim, header.version & mask, header.nonce, mask)
    return claim


def replay_proof(proof: Mapping[str, Any], plan: SearchPlan | None = None) -> SearchClaim | None:
    """The verified search claim of a proof; None if neither `plan` nor the proof has the plan.

    Only the claim is verified, not the proof. Raises VerifyError for a missing or wrong claim.
    """
    section = proof.get("plan")
    if not isinstance(section, Mapping):
        raise VerifyError("the proof has no search claim", "its block was not found under a search plan")
    try:
        header = Header.unpack(bytes.fromhex(proof["header_hex"]))
        coinbase = parse_transaction(bytes.fromhex(proof["coinbase_hex"])) if "coinbase_hex" in proof else None
    except (KeyError, TypeError, ValueError, DecodeError) as error:
        raise VerifyError(f"the proof's header or coinbase cannot be read: {error}") from error
    return check_section(section, header, None if coinbase is None else coinbase.inputs[0].script_sig, plan)


def _hex_bytes(section: Mapping[str, Any], name: str, least: int, most: int) -> bytes:
    text = section.get(name)
    try:
        raw = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if not least <= len(raw) <= most or raw.hex() != text:
        size = f"{least}" if least == most else f"{least} to {most}"
        raise VerifyError(f"the search claim's {name} is not {size} bytes in hex", _DAMAGED)
    return raw
