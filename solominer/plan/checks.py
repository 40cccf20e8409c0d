"""Was the work done as the plan says? The post checks of a plan, and the replay of a proof's position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from solominer.errors import PlanError, VerifyError
from solominer.plan.plan import Candidate, Position, SearchPlan


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What a worker says it did with one extranonce and one group of version patterns, in the order it did it.

    `chunks` are the nonce chunks visited, `hashes` the worker's own count of hashes for them.
    """

    plan_hash_hex: str
    mode: str
    engine: str
    worker: int
    worker_count: int
    extranonce: int
    version_bits: tuple[int, ...]
    chunks: Sequence[int]
    hashes: int


def check_done(plan: SearchPlan, mask: int, work: Iterable[WorkDone], reported_hashes: int | None = None) -> None:
    """The post checks. Raises PlanError naming the group and the reason at the first one that fails.

    `work` is all that was done on one job with one ntime, `mask` that job's version mask; `reported_hashes` is the
    total that the report states for this work.
    """
    palette = set(plan.palette_versions(mask))
    taken: dict[tuple[int, int], WorkDone] = {}
    total = 0
    for done in work:
        if done.mode != plan.mode:
            raise PlanError("sandbox", f"{_who(done)} worked in mode {done.mode}, the plan is for {plan.mode}")
        if done.plan_hash_hex != plan.hash_hex:
            raise PlanError("families", f"{_who(done)} follows another plan, {done.plan_hash_hex[:16]}")
        engine, worker, _ = plan.owner(done.extranonce, done.worker_count)
        if (engine, worker) != (done.engine, done.worker):
            raise PlanError("families", f"{_who(done)} took extranonce {done.extranonce} of {engine} worker {worker}")
        for bits in done.version_bits:
            if bits not in palette:
                raise PlanError("palette", f"{_who(done)} rolled version bits {bits:08x}, outside of the palette")
            if (done.extranonce, bits) in taken:
                raise PlanError("families", f"{_who(done)} searched extranonce {done.extranonce} a second time")
            taken[done.extranonce, bits] = done
        _check_chunks(plan, done)
        total += done.hashes
    if reported_hashes is not None and reported_hashes != total:
        raise PlanError("lanes", f"{reported_hashes} hashes are reported, the workers counted {total}")


def _check_chunks(plan: SearchPlan, done: WorkDone) -> None:
    if len(set(done.chunks)) != len(done.chunks):
        raise PlanError("strides", f"{_who(done)} visited a chunk twice in extranonce {done.extranonce}")
    order = plan.order(done.extranonce)
    if len(done.chunks) > order.size:
        raise PlanError("strides", f"{_who(done)} visited {len(done.chunks)} chunks where there are {order.size}")
    for step, chunk in enumerate(done.chunks):
        if chunk != order.at(step):
            raise PlanError("strides", f"{_who(done)} visited chunk {chunk} where {order.at(step)} was owed")
    size = plan.lanes.chunk_nonces
    nonces = sum(min(size, plan.nonce_space - chunk * size) for chunk in done.chunks)
    if done.hashes != nonces * len(done.version_bits):
        owed = nonces * len(done.version_bits)
        raise PlanError("lanes", f"{_who(done)} counted {done.hashes} hashes for chunks that hold {owed}")


def _who(done: WorkDone) -> str:
    return f"{done.engine} worker {done.worker} of {done.worker_count}"


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
        engine, worker, _ = plan.owner(candidate.extranonce, worker_count)
        position = plan.position(candidate, mask, worker_count)
        return cls(plan.hash_hex, engine, worker, worker_count, candidate.extranonce, position)

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
    try:
        tried = plan.candidate(claim.position, mask, claim.worker, claim.worker_count, claim.engine)
    except PlanError as error:
        raise VerifyError(f"the claimed position does not exist: {error.reason}") from error
    if tried != Candidate(claim.extranonce, version_bits, nonce):
        raise VerifyError(
            f"at the claimed position the plan tries extranonce {tried.extranonce}, version bits "
            f"{tried.version_bits:08x}, nonce {tried.nonce}; the proof has {claim.extranonce}, "
            f"{version_bits:08x}, {nonce}"
        )
