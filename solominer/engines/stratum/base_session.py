"""What sessions of both protocols have in common, sans I/O: who the client is, and how much it may send."""

from __future__ import annotations

from collections.abc import Sequence

from solominer.chain.hashes import hash_to_int
from solominer.engines.stratum.agents import UNKNOWN, Agent, agent_of
from solominer.engines.stratum.events import BlockFound, Event, FoundShare, Output, Worker
from solominer.engines.stratum.messages import StratumError
from solominer.engines.stratum.names import MAX_USER_AGENT, clean_text
from solominer.engines.stratum.shared import Shared
from solominer.engines.stratum.shares import Claim

BLOCKS_PER_WORK = 8
"""Blocks of one work that the daemon gets from a connection. All have the same parent, so one is wanted and the others
are spare; on regtest a miner finds thousands before it hears of the next tip. What comes beyond counts as a share.

Each connection has a bound of its own, so that none uses up another's; and so has each work: if something was wrong
with the blocks of one, those of the next, on the same tip, are wanted again."""

WORKS_COUNTED = 1024
"""More works than are kept at a time."""


class LineRate:
    """Lines per second, with a burst of two seconds' lines. Times are monotonic seconds."""

    __slots__ = ("_room", "_since")

    def __init__(self, per_sec: float, now: float) -> None:
        self._room, self._since = 2 * per_sec, now

    def pause_secs(self, lines: int, per_sec: float, now: float) -> float:
        """Count lines; for how long no more should be read."""
        room, most = self._room + (now - self._since) * per_sec, 2 * per_sec
        self._room = room = (room if room < most else most) - lines
        self._since = now
        return -room / per_sec if room < 0 else 0.0


class BlockBudget:
    """Counts the blocks of each work."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def admits(self, work_id: int) -> bool:
        """Whether the daemon is to have another block of this work."""
        counts = self._counts
        count = counts[work_id] = counts.get(work_id, 0) + 1
        if len(counts) > WORKS_COUNTED:
            del counts[next(iter(counts))]
        return count <= BLOCKS_PER_WORK


class BaseSession:
    """The state of one connection. Times are monotonic seconds."""

    __slots__ = ("_blocks", "_close", "_events", "_opened", "_out", "_rate", "agent", "shared", "user_agent", "workers")

    def __init__(self, shared: Shared, now: float) -> None:
        self.shared = shared
        self._opened = now
        self._rate = LineRate(shared.settings.lines_per_sec, now)
        self._blocks = BlockBudget()
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._close = ""
        self.user_agent = ""
        self.agent: Agent = UNKNOWN
        self.workers: dict[str, Worker] = {}

    def _introduced(self, said: str) -> None:
        """The client says what it is."""
        self.user_agent = clean_text(said, MAX_USER_AGENT)
        self.agent = agent_of(self.user_agent)

    def judge(self, claims: Sequence[Claim]) -> list[tuple[StratumError | None, int, bytes]]:
        """What becomes of shares, in order: why one is refused, its hash, and this as bytes if it is to be saved first.

        Of blocks there may be enough.
        """
        checked, events = self.shared.checker.check(claims, self.user_agent)
        kept = [event for event in events if not isinstance(event, BlockFound) or self._blocks.admits(event.work_id)]
        self._events += kept
        found = [event for event in kept if isinstance(event, FoundShare) and event.to_save]
        to_save = {hash_to_int(event.hash_le): event.hash_le for event in found}
        return [(error, hash_int, to_save.get(hash_int, b"")) for error, hash_int in checked]

    def _take(self, lines: int = 0, now: float | None = None) -> Output:
        """What is to be done since the last time; after so many lines, if any were received `now`."""
        per_sec = self.shared.settings.lines_per_sec
        pause_secs = 0.0 if now is None else self._rate.pause_secs(lines, per_sec, now)
        output = Output(b"".join(self._out), self._events, self._close, pause_secs)
        self._out = []
        if self._events:
            self._events = []
        return output
