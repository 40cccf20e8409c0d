"""What sessions of both protocols have in common, sans I/O: who the client is, and what is to be done for it."""

from __future__ import annotations

from collections.abc import Sequence

from solominer.chain.hashes import hash_to_int
from solominer.engines.stratum.agents import UNKNOWN, Agent, agent_of
from solominer.engines.stratum.events import BlockFound, Event, Output, Worker
from solominer.engines.stratum.limits import BlockBudget, LineRate
from solominer.engines.stratum.messages import StratumError
from solominer.engines.stratum.names import MAX_USER_AGENT, clean_text
from solominer.engines.stratum.shared import Shared
from solominer.engines.stratum.shares import Claim


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
        """What becomes of shares, in order: why one is refused, its hash, and this as bytes if the daemon gets it.

        It gets blocks; but of those there may be enough.
        """
        checked, events = self.shared.checker.check(claims, self.user_agent)
        kept = [event for event in events if not isinstance(event, BlockFound) or self._blocks.admits(event.work_id)]
        self._events += kept
        blocks = {hash_to_int(event.hash_le): event.hash_le for event in kept if isinstance(event, BlockFound)}
        return [(error, hash_int, blocks.get(hash_int, b"")) for error, hash_int in checked]

    def _take(self, lines: int = 0, now: float | None = None) -> Output:
        """What is to be done since the last time; after so many lines, if any were received `now`."""
        per_sec = self.shared.settings.lines_per_sec
        pause_secs = 0.0 if now is None else self._rate.pause_secs(lines, per_sec, now)
        output = Output(b"".join(self._out), self._events, self._close, pause_secs)
        self._out = []
        if self._events:
            self._events = []
        return output
