"""The search plan: how header space is divided between workers, and in which order each searches its part.

From the slowest to the fastest, a worker steps through ntime, its extranonces, the groups of version patterns, and the
nonce chunks in the plan's order. Each header candidate therefore belongs to one worker and one `Position`, computable
both ways, so that where a block was found can be checked. `parse` reads plan.yaml, `proof` checks proofs. No plan finds
more blocks than another: docs/odds-and-order.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from solominer.chain.target import NONCE_SPACE
from solominer.errors import PlanError
from solominer.plan.orders import ORDERS, Order

BITLOAD = int(
    "208500855993373022767225770164375163068756085544106017996338881654571185256056754443039992227128051932599645909"
)
ENGINE = "cpu"
"""The name, in proofs, shares and plans, of the only engine that follows a search plan."""
BIP320_BITS = range(13, 29)
MODES = ("main", "demo", "test", "staging")


@dataclass(frozen=True, slots=True)
class Families:
    """How extranonces are dealt to workers: `interleaved` (worker w of n gets w, w + n, w + 2n, …) or `blocks` (each
    gets one contiguous range). `extranonce_bits` is the width of the part of the extranonce that workers set."""

    deal: str = "interleaved"
    extranonce_bits: int = 32


@dataclass(frozen=True, slots=True)
class Lanes:
    """What one kernel call searches: nonces of one chunk for `midstates` version patterns, `lanes` nonces at a time.

    0 means auto: what suits the kernel chosen at startup. Neither affects a candidate's position.
    """

    lanes: int = 0
    midstates: int = 0
    chunk_nonces: int = 1 << 18


@dataclass(frozen=True, slots=True)
class Strides:
    """The order of nonce chunks and its parameters; those that the order does not take are None."""

    order: str = "sequential"
    stride: int | None = None
    multiplier: int | None = None
    increment: int | None = None
    start: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Palette:
    """The version bits of the BIP 320 mask that are rolled, the fastest first, and their order."""

    bits: tuple[int, ...] = (13, 14, 15, 16, 17)
    order: str = "counting"


@dataclass(frozen=True, slots=True)
class Position:
    """A candidate's place in its worker's search: the worker's k-th extranonce, the index of the version pattern, the
    step in the order of chunks, and the nonce's offset in the chunk. All count from 0."""

    k: int
    version: int
    step: int
    offset: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """What varies in a header: the extranonce, the rolled bits of nVersion (inside the mask), and the nonce."""

    extranonce: int
    version_bits: int
    nonce: int


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A validated plan. `mode` is one of MODES; `derived` names the parameters derived from bitload."""

    families: Families = Families()
    lanes: Lanes = Lanes()
    strides: Strides = Strides()
    palette: Palette = Palette()
    mode: str = "main"
    bitload: int = BITLOAD
    nonce_space: int = NONCE_SPACE
    derived: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Everything that decides a position, and nothing else, as JSON values. Inverse: `parse.plan_of_facts`."""
        return {
            "families": {"engines": [ENGINE], **_plain(self.families)},
            "chunk_nonces": self.lanes.chunk_nonces,
            "strides": _plain(self.strides),
            "palette": _plain(self.palette),
            "nonce_space": self.nonce_space,
        }

    @property
    def hash_hex(self) -> str:
        """SHA-256 of the facts as JSON with sorted keys and no spaces."""
        return sha256(json.dumps(self.facts(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def chunks(self) -> int:
        """The number of chunks; the last one is shorter if `chunk_nonces` does not divide the nonce space."""
        return -(-self.nonce_space // self.lanes.chunk_nonces)

    def order(self, *seed_extra: int) -> Order:
        """The order of chunks. `seed_extra` (in the search: the extranonce) is mixed into the seed of `shuffled`.

        Raises PlanError("strides") if the parameters do not make a permutation.
        """
        if self.strides.order not in ORDERS:
            raise PlanError("strides", f"unknown order {self.strides.order!r}")
        order, names = ORDERS[self.strides.order]
        parameters = {name: getattr(self.strides, name) for name in names}
        if missing := [name for name, value in parameters.items() if value is None]:
            raise PlanError("strides", f"{missing[0]} is missing")
        if "seed" in parameters:
            parameters["seed"] = _mixed(parameters["seed"], seed_extra)
        try:
            return order(self.chunks, **parameters)
        except ValueError as error:
            raise PlanError("strides", str(error), "correct the parameter, or omit it to derive it") from error

    def palette_versions(self, mask: int) -> tuple[int, ...]:
        """The version patterns in the order in which they are rolled; bits outside the job's `mask` stay zero."""
        bits = [bit for bit in self.palette.bits if mask >> bit & 1]
        return tuple(self._pattern(bits, index) for index in range(1 << len(bits)))

    def version_groups(self, mask: int, midstates: int) -> tuple[tuple[int, ...], ...]:
        """The version patterns in groups of `midstates`, one group per kernel call; the last may be smaller."""
        patterns = self.palette_versions(mask)
        return tuple(patterns[i : i + midstates] for i in range(0, len(patterns), midstates))

    def midstates_for(self, kernel_lanes: int, kernel_midstates: int) -> int:
        """Version patterns per call of this kernel. Raises PlanError("lanes") if the kernel cannot run the plan."""
        wanted = self.lanes
        if wanted.lanes not in (0, kernel_lanes):
            raise PlanError("lanes", f"the kernel has {kernel_lanes} lanes, not {wanted.lanes}", "use lanes: auto")
        if wanted.midstates > kernel_midstates:
            reason = f"the kernel takes {kernel_midstates} midstates per call, not {wanted.midstates}"
            raise PlanError("lanes", reason, "use midstates: auto")
        return wanted.midstates or kernel_midstates

    def extranonce(self, worker: int, worker_count: int, k: int) -> int:
        """The k-th extranonce of a worker. Raises PlanError("families") past its last."""
        end = 1 << self.families.extranonce_bits
        if not 0 <= worker < worker_count <= end:
            raise PlanError("families", f"there is no worker {worker} of {worker_count} for {end} extranonces")
        if self.families.deal == "interleaved":
            value = worker + k * worker_count
        else:
            value, end = end * worker // worker_count + k, end * (worker + 1) // worker_count
        if k < 0 or value >= end:
            raise PlanError("families", f"worker {worker} of {worker_count} has no extranonce {k}")
        return value

    def owned(self, worker: int, worker_count: int) -> int:
        """How many extranonces a worker owns."""
        end = 1 << self.families.extranonce_bits
        if self.families.deal == "interleaved":
            return max(0, -(-(end - worker) // worker_count))
        return end * (worker + 1) // worker_count - end * worker // worker_count

    def owner(self, extranonce: int, worker_count: int) -> tuple[int, int]:
        """(worker, k) of an extranonce. Raises PlanError("families") if it is too wide."""
        end = 1 << self.families.extranonce_bits
        if not 0 <= extranonce < end:
            raise PlanError("families", f"extranonce {extranonce} is outside {self.families.extranonce_bits} bits")
        if self.families.deal == "interleaved":
            k, worker = divmod(extranonce, worker_count)
            return worker, k
        worker = ((extranonce + 1) * worker_count - 1) // end
        return worker, extranonce - end * worker // worker_count

    def position(self, candidate: Candidate, mask: int, worker_count: int) -> Position:
        """A candidate's position. Raises PlanError, with the group, if the plan never tries it."""
        versions = self.palette_versions(mask)
        if candidate.version_bits not in versions:
            raise PlanError("palette", f"version bits {candidate.version_bits:08x} are never rolled")
        if not 0 <= candidate.nonce < self.nonce_space:
            raise PlanError("strides", f"nonce {candidate.nonce} is outside the nonce range")
        chunk, offset = divmod(candidate.nonce, self.lanes.chunk_nonces)
        _, k = self.owner(candidate.extranonce, worker_count)
        step = self.order(candidate.extranonce).position_of(chunk)
        return Position(k, versions.index(candidate.version_bits), step, offset)

    def candidate(self, position: Position, mask: int, worker: int, worker_count: int) -> Candidate:
        """The candidate at a position, the inverse of `position`. Raises PlanError if the position does not exist."""
        versions = self.palette_versions(mask)
        if not 0 <= position.version < len(versions):
            raise PlanError("palette", f"there is no version pattern {position.version}")
        if not (0 <= position.step < self.chunks and 0 <= position.offset < self.lanes.chunk_nonces):
            raise PlanError("strides", f"there is no step {position.step} with offset {position.offset}")
        extranonce = self.extranonce(worker, worker_count, position.k)
        nonce = self.order(extranonce).at(position.step) * self.lanes.chunk_nonces + position.offset
        if nonce >= self.nonce_space:
            raise PlanError("strides", f"offset {position.offset} is past the last nonce")
        return Candidate(extranonce, versions[position.version], nonce)

    def describe(self) -> list[tuple[str, str, str, str]]:
        """Table rows: group, parameter, value, and its origin: `given`, `derived` or `auto`."""
        rows = []
        for group in ("families", "lanes", "strides", "palette"):
            for name, value in asdict(getattr(self, group)).items():
                if value is None:
                    continue
                auto = group == "lanes" and value == 0
                text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                origin = "auto" if auto else "derived" if name in self.derived else "given"
                rows.append((group, name, "auto" if auto else text, origin))
        return [*rows, ("sandbox", "mode", self.mode, "given"), ("", "chunks", str(self.chunks), "derived")]

    def order_points(self, limit: int = 4096) -> list[tuple[int, int]]:
        """(position, chunk) pairs to plot the order: all of them, or `limit` evenly spaced ones."""
        order = self.order(0)
        count = min(limit, order.size)
        return [(i, order.at(i)) for i in (n * order.size // count for n in range(count))]

    def _pattern(self, bits: list[int], index: int) -> int:
        if self.palette.order == "gray":
            index ^= index >> 1
        elif self.palette.order == "reversed":
            index = (1 << len(bits)) - 1 - index
        return sum((index >> place & 1) << bit for place, bit in enumerate(bits))


def _plain(group: Families | Strides | Palette) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(group).items()}


def _mixed(seed: int, extra: tuple[int, ...]) -> int:
    """The seed itself without `extra`, else the first 8 bytes of the SHA-256 of all of them, big-endian."""
    if not extra:
        return seed
    return int.from_bytes(sha256("/".join(map(str, (seed, *extra))).encode()).digest()[:8], "big")
