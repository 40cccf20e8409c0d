"""Workers: their ids, their ranges of the extranonce space, and snapshots of their state."""

from __future__ import annotations

from dataclasses import dataclass

EXTRANONCE1_SIZE = 4
EXTRANONCE2_SIZE = 8
EXTRANONCE_SIZE = EXTRANONCE1_SIZE + EXTRANONCE2_SIZE
_EXTRANONCE1_VALUES = 1 << 8 * EXTRANONCE1_SIZE


@dataclass(frozen=True, slots=True, order=True)
class WorkerId:
    """Engine and name of a worker; as text `cpu/3`, `gpu/0`, `stratum/rack1.s19`."""

    engine: str
    name: str

    def __str__(self) -> str:
        return f"{self.engine}/{self.name}"

    @property
    def is_stratum(self) -> bool:
        """Whether it is a Stratum miner, here or at a cluster's node, or the Stratum server of such a node."""
        place = self.name.partition(".")[2] if self.engine == "cluster" else self.engine
        return place.partition("/")[0] == "stratum"

    @classmethod
    def parse(cls, text: str) -> WorkerId:
        """Parse an id such as `cpu/3`; without a slash, the engine is `unknown`."""
        engine, slash, name = text.partition("/")
        return cls(engine, name) if slash else cls("unknown", text)


@dataclass(frozen=True, slots=True)
class ExtranonceRange:
    """`count` values of extranonce1 from `first` on, wrapping at 2**32, with exactly one owner."""

    first: int
    count: int

    def __contains__(self, extranonce1: bytes) -> bool:
        return (int.from_bytes(extranonce1) - self.first) % _EXTRANONCE1_VALUES < self.count

    def nth(self, index: int) -> bytes:
        """The `index`-th extranonce1, 4 bytes big-endian. Raises IndexError outside the range."""
        if not 0 <= index < self.count:
            raise IndexError(f"extranonce1 {index} of a range of {self.count}")
        return ((self.first + index) % _EXTRANONCE1_VALUES).to_bytes(EXTRANONCE1_SIZE, "big")

    def part(self, index: int, parts: int) -> ExtranonceRange:
        """The `index`-th of so many parts of equal size, which have no value in common."""
        count = self.count // parts
        return ExtranonceRange(self.first + index * count, count)


class ExtranonceDealer:
    """Assigns extranonce1 values, each once per run; `start` must differ between runs (mining rule 25)."""

    def __init__(self, start: int) -> None:
        self._start, self._dealt = start % _EXTRANONCE1_VALUES, 0

    def deal(self, count: int) -> ExtranonceRange:
        """The next `count` values. Raises ValueError if fewer are left."""
        if count < 1 or self._dealt + count > _EXTRANONCE1_VALUES:
            raise ValueError(f"{count} values of extranonce1 cannot be dealt, {self._dealt} are in use")
        first = (self._start + self._dealt) % _EXTRANONCE1_VALUES
        self._dealt += count
        return ExtranonceRange(first, count)


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """State of one worker.

    `hashes_counted` is counted by our own kernels, `hashes_credited` estimated from shares; one of the two is 0. Both
    only increase. `share_target` is that of the worker (0: of the job). `state` is one of starting,
    idle, hashing, paused, parked, exhausted, lost; left and removed for a cluster's node that ended or was taken out,
    not shown once it is removed. `kernel` is a miner's user agent; `connections` to `rejected` (shares) are a miner's.
    `temperature_c` is that of a card that says it, `gone_at` when a cluster's node ended (Unix seconds).
    """

    worker: WorkerId
    state: str
    hashes_counted: int = 0
    hashes_credited: float = 0.0
    rate_hps: float = 0.0
    share_target: int = 0
    shares: int = 0
    kernel: str = ""
    pid: int = 0
    connections: int = 0
    difficulty: float = 0.0
    best_difficulty: float = 0.0
    rejected: int = 0
    temperature_c: float | None = None
    gone_at: float | None = None


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """State of an engine. `active` is how many of its workers may hash, `urls` are addresses for miners."""

    engine: str
    workers: tuple[WorkerSnapshot, ...]
    active: int
    urls: tuple[str, ...] = ()

    @property
    def hashes(self) -> float:
        """Hashes of all workers since the start, counted or credited."""
        return sum(worker.hashes_counted + worker.hashes_credited for worker in self.workers)

    @property
    def rate_hps(self) -> float:
        """Hashes per second of all workers."""
        return sum(worker.rate_hps for worker in self.workers)
