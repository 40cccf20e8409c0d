"""Events that a session reports to its server, besides the bytes to send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec


@dataclass(slots=True, eq=False)
class Tally:
    """Shares of one worker name by one kind of client since the last report of them.

    `hashes` is what the accepted ones take on average, `hashes_squared` the sum of the squares of each one's hashes.
    `best_hash` is big-endian, empty without a share; only what was taken has it. `rejected` counts by ckpool's text.
    """

    name: str = ""
    user_agent: str = ""
    accepted: int = 0
    hashes: int = 0
    hashes_squared: float = 0.0
    best_hash: bytes = b""
    rejected: dict[str, int] = field(default_factory=dict)
    connects: int = 0
    _best: int | None = None  # never in a message, which has no integers of 256 bits

    def accept(self, count: int, hashes: int, best_hash: int) -> None:
        """So many more shares of `hashes` each were accepted."""
        self.accepted += count
        self.hashes += count * hashes
        self.hashes_squared += count * float(hashes) ** 2
        if self._best is None or best_hash < self._best:
            self._best = best_hash

    def reject(self, text: str, count: int = 1) -> None:
        """So many more shares were refused."""
        if count:
            self.rejected[text] = self.rejected.get(text, 0) + count

    def take(self) -> Tally:
        """The counts so far; counting starts again."""
        taken = replace(self, best_hash=b"" if self._best is None else self._best.to_bytes(32), _best=None)
        self.accepted = self.hashes = self.connects = 0
        self.hashes_squared, self._best, self.rejected = 0.0, None, {}
        return taken

    def __bool__(self) -> bool:
        return bool(self.accepted or self.rejected or self.connects)


@dataclass(slots=True)
class Worker:
    """One name that is logged in on a connection, and the tally that its shares count in.

    `credit` takes (accepted shares, their difficulty) for its group.
    """

    name: str
    tally: Tally
    credit: Callable[[int, float], None] | None = None


class Event(msgspec.Struct, frozen=True):
    """Something that a session reports."""


class Subscribed(Event, frozen=True):
    """A client subscribed. If `resumed`, any other connection with this session id is to be closed."""

    session_id: str
    user_agent: str
    resumed: bool


class AddressWanted(Event, frozen=True):
    """The node is to be asked about this address; the answer goes to `Session.address_resolved`."""

    address: str


class Authorized(Event, frozen=True):
    """A worker is subscribed and logged in."""

    worker: Worker


class Departed(Event, frozen=True):
    """A worker is gone, but not its connection."""

    worker: Worker


class AuthorizeRefused(Event, frozen=True):
    """A worker could not log in."""

    name: str
    reason: str


class DifficultyChanged(Event, frozen=True):
    """The client is to work at another difficulty from its next job on."""

    difficulty: float


class FoundShare(Event, frozen=True):
    """A share that leaves the server whole, hashed by hashlib.

    `header` has 80 bytes; `prefix`, `extranonce` and `suffix` are the stripped coinbase of job `job_id`, which was made
    of the work `work_id`. `share_difficulty` is what it had to meet. With `to_save` its
    answer waits until it is on disk.
    """

    work_id: int
    job_id: str
    header: bytes
    prefix: bytes
    extranonce: bytes
    suffix: bytes
    hash_le: bytes
    worker: str
    user_agent: str
    share_difficulty: float
    to_save: bool = False


class NotableShare(FoundShare, frozen=True, tag=True):
    """An accepted share that is recorded: it meets the work's `notable_target`."""


class BlockFound(FoundShare, frozen=True, tag=True):
    """A header that meets the network's target. `refused` is why its share was not accepted, or empty.

    `group_bytes` is the coinbase limit that a group's payouts were planned for, 0 without one.
    """

    refused: str = ""
    group_bytes: int = 0
    to_save: bool = True


class BlockAccepted(Event, frozen=True):
    """The request `id_json` is to be answered with true once its share, `hash_le`, is on disk: a block, as a rule."""

    id_json: bytes
    hash_le: bytes


class KernelFault(Event, frozen=True, tag=True):
    """The compiled check called a header a block and hashlib did not: the check is not to be used any more."""

    header: bytes


class Output(msgspec.Struct, gc=False):
    """What is to be done for a connection: send `data`, handle `events`, then close if `close` gives a reason.

    With `pause_secs` nothing is to be read from it for so long: it sends more lines than a connection may.
    """

    data: bytes = b""
    events: list[Event] = []
    close: str = ""
    pause_secs: float = 0.0
