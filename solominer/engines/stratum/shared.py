"""What the connections of one listener have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import NamedTuple

from solominer.chain.target import expected_hashes
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.events import Tally
from solominer.engines.stratum.extranonces import ExtranonceTable
from solominer.engines.stratum.jobs import JobBoard
from solominer.engines.stratum.shares import ShareChecker, share_target
from solominer.engines.stratum.work import Standing
from solominer.errors import EngineError


class PayTo(Enum):
    """Whom the coinbase pays: what is configured, each miner's own address, or the group."""

    CONFIG = "config"
    MINER = "miner"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """What holds for all connections of one listener. Durations in seconds."""

    pay_to: PayTo = PayTo.CONFIG
    limits: Limits = field(default_factory=Limits)
    lines_per_sec: float = 20_000.0
    max_workers: int = 256
    handshake_secs: float = 60.0
    notify_secs: float = 55.0


class Credits:
    """Work that members of the group have proven since it was last taken, in expected hashes by member.

    A member is a scriptPubKey in hex. Beyond MOST_MEMBERS no new one is admitted, so that memory is bounded; one that
    has proven nothing yet makes room for a newer one.
    """

    MOST_MEMBERS = 250

    def __init__(self) -> None:
        self._works: dict[str, int] = {}
        self._members: dict[str, None] = {}  # admitted, without work in the account when they were; oldest first

    def admit(self, member: str, standing: Standing | None) -> bool:
        """Whether he may mine for the group."""
        proven = {each for each, _, _ in (standing.members if standing else ())} | self._works.keys()
        if member in proven:
            return True
        if len(proven) >= self.MOST_MEMBERS:
            return False
        self._members[member] = None
        while len(proven | self._members.keys()) > self.MOST_MEMBERS:
            del self._members[next(iter(self._members))]
        return True

    def add(self, member: str, shares: int, difficulty: float) -> None:
        """So many accepted shares of that difficulty."""
        work = shares * expected_hashes(share_target(difficulty))
        self._works[member] = self._works.get(member, 0) + work

    def take(self) -> dict[str, str]:
        """The work added since the last time, as decimal text, since numbers in a message have 64 bits."""
        works, self._works = self._works, {}
        return {member: str(work) for member, work in works.items()}


class Tallies:
    """The tally of each worker name by each kind of client, whatever connections they come by.

    Beyond `most` of them all others count as one.
    """

    OTHERS = "(others)"

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._tallies: dict[tuple[str, str], Tally] = {}

    def of(self, name: str, user_agent: str) -> Tally:
        """The tally of a worker."""
        key = name, user_agent
        if key not in self._tallies and len(self._tallies) >= self._most:
            key = self.OTHERS, ""
        return self._tallies.setdefault(key, Tally(*key))


class Payee(NamedTuple):
    """Whom the blocks of a miner pay: a script of its own, None for what is configured or the group.

    `credit` takes (accepted shares, their difficulty) for the group.
    """

    script: bytes | None = None
    credit: Callable[[int, float], None] | None = None


@dataclass(slots=True)
class Shared:
    """What the connections of a process have in common. `scripts` are addresses that the node confirmed."""

    board: JobBoard
    table: ExtranonceTable
    checker: ShareChecker
    settings: ListenerSettings
    scripts: dict[str, bytes] = field(default_factory=dict)
    tallies: Tallies = field(default_factory=Tallies)
    credits: Credits = field(default_factory=Credits)

    def payee(self, script: bytes | None) -> Payee:
        """The payee of a miner that logged in with the address of `script`. Raises EngineError."""
        if script is None or self.settings.pay_to is not PayTo.GROUP:
            return Payee(script)
        work = self.board.current
        if not self.credits.admit(script.hex(), work.group if work else None):
            raise EngineError(f"the group has {self.credits.MOST_MEMBERS} members, which is the most")
        return Payee(None, partial(self.credits.add, script.hex()))
