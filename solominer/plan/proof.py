"""The search plan in a proof: which plan, which worker, and where in its walk the header was met; and its check.

A proof's `plan` holds the search claim, the version mask and extranonce that it was made with, and (for blocks) the
plan's facts. So whoever has the proof can walk the plan to the claimed position and compare: the search is checkable.
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


@dataclass(frozen=True, slots=True)
class SearchClaim:
    """What a proof says about how its block was found: plan, worker and position. JSON as `to_json` gives it."""

    plan_hash_hex: str
    engine: str
    worker: int
    worker_count: int
    extranonce: int
    position: Position

    @classmethod
    def of(cls, plan: SearchPlan, candidate: Candidate, mask: int, worker_count: int) -> SearchClaim:
        """The claim of a hit. Raises PlanError where the plan never leads there."""
        worker, _ = plan.owner(candidate.extranonce, worker_count)
        position = plan.position(candidate, mask, worker_count)
        return cls(plan.hash_hex, ENGINE, worker, worker_count, candidate.extranonce, position)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a proof."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SearchClaim:
        """The claim of a proof. Raises VerifyError where it is not one."""
        try:
            names = ("k", "version", "step", "offset")
            numbers = {name: value[name] for name in ("worker", "worker_count", "extranonce")}
            places = {name: value["position"][name] for name in names}
            for number in (*numbers.values(), *places.values()):
                if type(number) is not int or number < 0:
                    raise VerifyError("the proof's search claim holds a value that is no count", "compare the file")
            position = Position(**places)
            return cls(str(value["plan_hash_hex"]), str(value["engine"]), position=position, **numbers)
        except (KeyError, TypeError) as error:
            raise VerifyError(f"the proof's search claim is incomplete: {error}", "compare the file") from error


def replay(plan: SearchPlan, claim: SearchClaim, version_bits: int, nonce: int, mask: int) -> None:
    """Walk the plan to the claimed position and compare with the header's version bits (inside `mask`) and nonce.

    Raises VerifyError with what differs.
    """
    if claim.plan_hash_hex != plan.hash_hex:
        raise VerifyError(
            f"the proof names plan {claim.plan_hash_hex[:16]}", "replay it with the plan that it was mined by"
        )
    if claim.engine != ENGINE:
        raise VerifyError(f"the claimed position does not exist: no plan leads engine {claim.engine!r:.40}")
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


def _hex_int(section: Mapping[str, Any], name: str, size: int) -> int:
    text = section.get(name)
    try:
        raw = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != size or raw.hex() != text:
        raise VerifyError(f"the search claim's {name} is not {size} bytes in hex", "compare the file")
    return int.from_bytes(raw, "big")
