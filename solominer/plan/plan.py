"""The search plan: how header space is divided between workers, and in which order each walks its part.

A worker walks, for each extranonce it owns, each group of version patterns, and for each group the nonce chunks in the
order of the plan; ntime is rolled last, and each ntime is the same walk again. So every header candidate belongs to one
worker and has one `Position`, which can be computed from the candidate and back: where a block was found is as
checkable as the block itself. `parse` reads plan.yaml, `proof` compares a proof with its plan. No plan finds more
blocks than another: docs/odds-and-order.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from solominer.chain.target import NONCE_SPACE
from solominer.errors import PlanError
from solominer.plan.orders import Knuth, Order, Sequential, Shuffled, Strided, VanDerCorput

BITLOAD = int(
    "208500855993373022767225770164375163068756085544106017996338881654571185256056754443039992227128051932599645909"
)
ENGINE = "cpu"
"""What proofs, shares and plans call the engine that searches by a plan."""
BIP320_BITS = range(13, 29)
MODES = ("main", "demo", "test", "staging")


@dataclass(frozen=True, slots=True)
class Families:
    """How extranonces are dealt to workers: `interleaved` (worker w of n takes w, w + n, w + 2n, …) or `blocks` (each
    takes a run of its own). `extranonce_bits` is the width of the extranonce that workers may set."""

    deal: str = "interleaved"
    extranonce_bits: int = 32


@dataclass(frozen=True, slots=True)
class Lanes:
    """What one kernel call takes: nonces of one chunk for `midstates` version patterns, `lanes` nonces at a time.

    0 stands for auto: what the kernel chosen at start does best. Neither changes a candidate's position.
    """

    lanes: int = 0
    midstates: int = 0
    chunk_nonces: int = 1 << 18


@dataclass(frozen=True, slots=True)
class Strides:
    """The order of nonce chunks, with the parameters that it uses (the others are None)."""

    order: str = "sequential"
    stride: int | None = None
    multiplier: int | None = None
    increment: int | None = None
    start: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Palette:
    """Which bits of the BIP 320 mask are rolled (the first one listed changes fastest), and in which order."""

    bits: tuple[int, ...] = (13, 14, 15, 16, 17)
    order: str = "counting"


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a worker's walk a candidate lies: its k-th extranonce, the version pattern's index in the palette,
    the step in the order of chunks, and the nonces into the chunk. All count from 0."""

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
    """A checked plan. `mode` is `main` or one of the sandbox's; `derived` names the parameters taken from bitload."""

    families: Families = Families()
    lanes: Lanes = Lanes()
    strides: Strides = Strides()
    palette: Palette = Palette()
    mode: str = "main"
    bitload: int = BITLOAD
    nonce_space: int = NONCE_SPACE
    derived: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What decides a position, and nothing else, as JSON values: not the file's layout, nor whether a parameter was
        given or derived, nor what the kernel takes at a time. `parse.plan_of_facts` is the way back."""
        return {
            "families": {"engines": [ENGINE], **_plain(self.families)},
            "chunk_nonces": self.lanes.chunk_nonces,
            "strides": _plain(self.strides),
            "palette": _plain(self.palette),
            "nonce_space": self.nonce_space,
        }

    @property
    def hash_hex(self) -> str:
        """SHA-256 over the facts as JSON with sorted keys and without spaces."""
        return sha256(json.dumps(self.facts(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def chunks(self) -> int:
        """How many chunks the nonces make; the last one is shorter where the chunk does not divide the space."""
        return -(-self.nonce_space // self.lanes.chunk_nonces)

    def order(self, *seed_extra: int) -> Order:
        """The order of chunks. A shuffled one is another for each `seed_extra`: the walk passes the extranonce.

        Raises PlanError("strides") where the parameters give no permutation.
        """
        s = self.strides
        try:
            match s.order:
                case "sequential":
                    return Sequential(self.chunks)
                case "strided":
                    return Strided(self.chunks, _given(s.stride, "stride"))
                case "knuth":
                    a, c = _given(s.multiplier, "multiplier"), _given(s.increment, "increment")
                    return Knuth(self.chunks, a, c, _given(s.start, "start"))
                case "van-der-corput":
                    return VanDerCorput(self.chunks)
                case "shuffled":
                    return Shuffled(self.chunks, _mixed(_given(s.seed, "seed"), seed_extra))
        except ValueError as error:
            raise PlanError("strides", str(error), "correct the parameter, or leave it out to derive it") from error
        raise PlanError("strides", f"no order is called {s.order!r}")

    def palette_versions(self, mask: int) -> tuple[int, ...]:
        """The version patterns in the order they are rolled; bits that the job's `mask` does not free stay zero."""
        bits = [bit for bit in self.palette.bits if mask >> bit & 1]
        return tuple(self._pattern(bits, index) for index in range(1 << len(bits)))

    def version_groups(self, mask: int, midstates: int) -> tuple[tuple[int, ...], ...]:
        """The patterns, `midstates` for each kernel call; the last group may be smaller."""
        patterns = self.palette_versions(mask)
        return tuple(patterns[i : i + midstates] for i in range(0, len(patterns), midstates))

    def midstates_for(self, kernel_lanes: int, kernel_midstates: int) -> int:
        """How many patterns a call of this kernel gets. Raises PlanError("lanes") where it cannot run the plan."""
        wanted = self.lanes
        if wanted.lanes not in (0, kernel_lanes):
            raise PlanError("lanes", f"the kernel has {kernel_lanes} lanes, not {wanted.lanes}", "say lanes: auto")
        if wanted.midstates > kernel_midstates:
            reason = f"the kernel takes {kernel_midstates} midstates a call, not {wanted.midstates}"
            raise PlanError("lanes", reason, "say midstates: auto")
        return wanted.midstates or kernel_midstates

    def extranonce(self, worker: int, worker_count: int, k: int) -> int:
        """The k-th extranonce of a worker. Raises PlanError("families") past its last."""
        end = 1 << self.families.extranonce_bits
        if not 0 <= worker < worker_count <= end:
            raise PlanError("families", f"worker {worker} of {worker_count} does not fit {end} extranonces")
        if self.families.deal == "interleaved":
            value = worker + k * worker_count
        else:
            value, end = end * worker // worker_count + k, end * (worker + 1) // worker_count
        if k < 0 or value >= end:
            raise PlanError("families", f"worker {worker} of {worker_count} owns no extranonce number {k}")
        return value

    def owned(self, worker: int, worker_count: int) -> int:
        """How many extranonces a worker owns: the k of `extranonce` goes from 0 to one less."""
        end = 1 << self.families.extranonce_bits
        if self.families.deal == "interleaved":
            return max(0, -(-(end - worker) // worker_count))
        return end * (worker + 1) // worker_count - end * worker // worker_count

    def owner(self, extranonce: int, worker_count: int) -> tuple[int, int]:
        """(worker, k) that an extranonce belongs to. Raises PlanError("families") where it is too wide."""
        end = 1 << self.families.extranonce_bits
        if not 0 <= extranonce < end:
            raise PlanError("families", f"extranonce {extranonce} is outside {self.families.extranonce_bits} bits")
        if self.families.deal == "interleaved":
            k, worker = divmod(extranonce, worker_count)
            return worker, k
        worker = ((extranonce + 1) * worker_count - 1) // end
        return worker, extranonce - end * worker // worker_count

    def position(self, candidate: Candidate, mask: int, worker_count: int) -> Position:
        """Where its worker meets the candidate. Raises PlanError with the group that never leads there."""
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
        """What a worker tries at a position: the inverse of `position`. Raises PlanError where there is none."""
        versions = self.palette_versions(mask)
        if not 0 <= position.version < len(versions):
            raise PlanError("palette", f"there is no version pattern number {position.version}")
        if not (0 <= position.step < self.chunks and 0 <= position.offset < self.lanes.chunk_nonces):
            raise PlanError("strides", f"there is no step {position.step} with offset {position.offset}")
        extranonce = self.extranonce(worker, worker_count, position.k)
        nonce = self.order(extranonce).at(position.step) * self.lanes.chunk_nonces + position.offset
        if nonce >= self.nonce_space:
            raise PlanError("strides", f"offset {position.offset} lies behind the last nonce")
        return Candidate(extranonce, versions[position.version], nonce)

    def describe(self) -> list[tuple[str, str, str, str]]:
        """Rows (group, parameter, value, `given`, `derived` or `auto`) of a table that shows the plan."""
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

    def order_points(self, limit: int = 4096, extranonce: int = 0) -> list[tuple[int, int]]:
        """(position, chunk) pairs for a picture of the order: all of them, or `limit` spread evenly over the walk."""
        order = self.order(extranonce)
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


def _given(value: int | None, name: str) -> int:
    if value is None:
        raise ValueError(f"{name} is missing")
    return value


def _mixed(seed: int, extra: tuple[int, ...]) -> int:
    """One seed from several: plain for none, else the first 8 bytes of SHA-256 over all, big-endian."""
    if not extra:
        return seed
    return int.from_bytes(sha256("/".join(map(str, (seed, *extra))).encode()).digest()[:8], "big")
