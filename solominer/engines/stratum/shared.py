"""What the connections of one listener have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.events import Tally
from solominer.engines.stratum.extranonces import ExtranonceTable
from solominer.engines.stratum.jobs import JobBoard
from solominer.engines.stratum.shares import ShareChecker


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


class Tallies:
    """The tally of each worker name by each kind of client, whatever connections they come by.

    Beyond `most` of them all others count as one.
    """

    OTHERS = "(others)"

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._tallies: dict[tuple[str, str], Tally] = {}

    def of(self, name: str, user_agent: str) -> Tally:
        """What a worker counts in."""
        key = name, user_agent
        if key not in self._tallies and len(self._tallies) >= self._most:
            key = self.OTHERS, ""
        return self._tallies.setdefault(key, Tally(*key))


@dataclass(slots=True)
class Shared:
    """What the connections of a process have in common. `scripts` are addresses that the node confirmed."""

    board: JobBoard
    table: ExtranonceTable
    checker: ShareChecker
    settings: ListenerSettings
    scripts: dict[str, bytes] = field(default_factory=dict)
    tallies: Tallies = field(default_factory=Tallies)
