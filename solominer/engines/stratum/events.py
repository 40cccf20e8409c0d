"""What a session tells its server beyond the bytes to send."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from solominer.engines.stratum.messages import Errors


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A client subscribed. If `resumed`, any other connection with this session id is to be closed."""

    session_id: str
    user_agent: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class AddressWanted:
    """The node is to be asked about this address; the answer goes to `Session.address_resolved`."""

    address: str


@dataclass(frozen=True, slots=True)
class Authorized:
    """A worker logged in; `name` is clean."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class AuthorizeRefused:
    """A worker could not log in."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What a client told of itself: the info extension, or its answer to client.get_version. Clean text."""

    info: dict[str, str]


@dataclass(frozen=True, slots=True)
class DifficultyChanged:
    """The client is to work at another difficulty from its next job on."""

    difficulty: float


@dataclass(frozen=True, slots=True)
class BlockFound:
    """A header that meets the network's target, confirmed by hashlib. `refused` is why its share was not, or empty.

    `header` has 80 bytes; `prefix`, `extranonce` and `suffix` are the stripped coinbase of job `job_id`, which was made
    of the work `work_id`.
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
    refused: str


@dataclass(frozen=True, slots=True)
class NotableShare:
    """An accepted share that is recorded whole: it meets the work's `notable_target`.

    Its fields are those of BlockFound; `job_difficulty` is what it had to meet.
    """

    work_id: int
    job_id: str
    header: bytes
    prefix: bytes
    extranonce: bytes
    suffix: bytes
    hash_le: bytes
    worker: str
    job_difficulty: float


@dataclass(frozen=True, slots=True)
class KernelFault:
    """The compiled check called a header a block and hashlib did not: the check is not to be used any more."""

    header: bytes


Event = (
    Subscribed
    | AddressWanted
    | Authorized
    | AuthorizeRefused
    | ClientInfo
    | DifficultyChanged
    | BlockFound
    | NotableShare
    | KernelFault
)


class Output(msgspec.Struct, gc=False):
    """What is to be done for a connection: send `data`, handle `events`, then close if `close` gives a reason.

    With `pause_secs` nothing is to be read from it for so long: it sends more lines than a connection may.
    """

    data: bytes = b""
    events: list[Event] = []
    close: str = ""
    pause_secs: float = 0.0


@dataclass(slots=True)
class Tally:
    """Shares of one worker: counts, sum of difficulty, smallest hash. `rejected` counts by ckpool's text."""

    accepted: int = 0
    difficulty_sum: float = 0.0
    best_hash: int = 1 << 256
    rejected: dict[str, int] = field(default_factory=dict)

    def add(self, accepted: int, difficulty: float, best_hash: int, *, above: int, duplicates: int) -> None:
        """Shares of one difficulty at once: accepted, above their target, duplicates."""
        self.accepted += accepted
        self.difficulty_sum += accepted * difficulty
        self.best_hash = min(self.best_hash, best_hash)
        for count, error in ((above, Errors.ABOVE_TARGET), (duplicates, Errors.DUPLICATE)):
            if count:
                self.reject(error.text, count)

    def reject(self, text: str, count: int = 1) -> None:
        """So many more shares that were refused."""
        self.rejected[text] = self.rejected.get(text, 0) + count
