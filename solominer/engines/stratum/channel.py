"""What the daemon and the Stratum process say to each other over a socket pair: messages in frames.

A frame is the length of its body in 4 bytes, little-endian, and the body in MessagePack. Everything that one side must
know to go on after the other was started again is in these messages.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, Self

import msgspec

from solominer.config.forms import bracketed
from solominer.config.listeners import ListenerConfig
from solominer.engines.stratum.events import BlockFound, KernelFault, NotableShare, Tally
from solominer.engines.stratum.extranonces import Held
from solominer.engines.stratum.work import OWN_SPLIT, Split, Work
from solominer.errors import EngineError
from solominer.records.report.formats import many

_LENGTH_BYTES = 4
MAX_FRAME_BYTES = 64 << 20


class Sharing(Enum):
    """Who listens on a port: one process alone; the first of several, if nobody has it; another one, besides them."""

    ALONE = "alone"
    FIRST = "first"
    JOIN = "join"


class ListenerSetup(msgspec.Struct, frozen=True):
    """One listener. `host` and `port`, or `path` of a Unix socket; with `certificate` and `key` (PEM files) TLS.

    `pay_to` is a value of PayTo. Difficulties of 0 mean the default. `proxies` are addresses whose connections begin
    with the PROXY protocol. `v2` is whether Stratum V2 is spoken: auto (beside V1), only, or off; never over TLS.
    `sharing` is for the port.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    certificate: str = ""
    key: str = ""
    pay_to: str = "config"
    start_difficulty: float = 0.0
    least_difficulty: float = 0.0
    most_difficulty: float = 0.0
    fractional: bool = False
    proxies: tuple[str, ...] = ()
    v2: str = "auto"
    sharing: Sharing = Sharing.ALONE

    @classmethod
    def of(cls, listener: ListenerConfig, network: str) -> Self:
        """The listener of these settings, for miners of that network."""
        host, port, path = listener.place
        return cls(
            host=host,
            port=port,
            path=path,
            certificate=str(listener.tls_certificate or ""),
            key=str(listener.tls_key or ""),
            pay_to=listener.payout,
            start_difficulty=listener.start_difficulty,
            least_difficulty=listener.least_difficulty,
            most_difficulty=listener.most_difficulty,
            fractional=network in ("regtest", "signet"),
            proxies=listener.proxies,
            v2=listener.v2,
        )

    @property
    def place(self) -> tuple[str, int, str]:
        """Where it listens: no two listeners have the same."""
        return self.host, self.port, self.path

    @property
    def identity(self) -> tuple[object, ...]:
        """What cannot change without closing its connections: its place, TLS or not, and who is paid."""
        return self.place, bool(self.certificate), self.pay_to

    @property
    def speaks_v2(self) -> bool:
        """Whether it takes Stratum V2, where the server has an authority key."""
        return self.v2 != "off" and not self.certificate

    def urls(self, authority_key: str) -> list[str]:
        """All URLs for a miner's settings; `authority_key` is "" where V2 is not to be had."""
        urls = [] if self.v2 == "only" else [self.url]
        if authority_key and self.speaks_v2 and not self.path:
            urls.append(f"stratum2+tcp://{bracketed(self.host)}:{self.port}/{authority_key}")
        return urls

    @property
    def url(self) -> str:
        """The URL for a miner's settings, with the listening address in place of this machine's name."""
        if self.path:
            return f"unix:{self.path}"
        return f"stratum+{'ssl' if self.certificate else 'tcp'}://{bracketed(self.host)}:{self.port}"


class ServerLimits(msgspec.Struct, frozen=True):
    """Bounds of the whole server. A miner without work for `no_work_secs` is sent away, so that it fails over."""

    connections: int = 16_384
    connections_per_address: int = 4096
    no_work_secs: float = 30.0

    def part(self, processes: int) -> ServerLimits:
        """The limits of each of `processes` processes, among which the kernel distributes connections at random.

        Nobody within the limits is turned away: each process takes its part and four standard deviations more.
        """

        def of(most: int) -> int:
            mean = most / processes
            return most if processes == 1 else min(most, math.ceil(mean + 4 * math.sqrt(mean)))

        return ServerLimits(of(self.connections), of(self.connections_per_address), self.no_work_secs)


# To the process


class Setup(msgspec.Struct, tag=True):
    """The first message: how to serve, and what processes before this one left behind.

    extranonce1 values are `extranonce_first` and the next `extranonce_count`; `sessions` with others are those of other
    processes. `cache_dir` keeps compiled code. `authority_secret` signs for Stratum V2; empty: there is none. The
    extranonce of work to come has this `split`.
    """

    parent_pid: int
    listeners: list[ListenerSetup]
    limits: ServerLimits
    extranonce_first: int
    extranonce_count: int
    first_seq: int
    sessions: list[Held] = []
    cache_dir: str = ""
    authority_secret: bytes = b""
    split: Split = OWN_SPLIT


class Publish(msgspec.Struct, tag=True):
    """Work for all miners, which came `age_secs` ago; a process before this one may have used `skip` job numbers.

    Unless it is to `announce` it, the process only checks shares of it.
    """

    work: Work
    age_secs: float = 0.0
    skip: int = 0
    announce: bool = True


class Withdraw(msgspec.Struct, tag=True):
    """There is no work."""


class Relisten(msgspec.Struct, tag=True):
    """Listen like this from now on, certificates read anew; connections of listeners with the same identity stay."""

    listeners: list[ListenerSetup]
    limits: ServerLimits


class Elsewhere(msgspec.Struct, tag=True):
    """Sessions of other processes that are new or have another difficulty."""

    sessions: list[Held]


class AddressAnswer(msgspec.Struct, tag=True):
    """The node's answer to an AddressQuestion: its script, or why it cannot be paid."""

    address: str
    script: bytes | None
    reason: str = ""


class Saved(msgspec.Struct, tag=True):
    """This block is on disk."""

    hash_le: bytes


class Quit(msgspec.Struct, tag=True):
    """Close all connections and end."""


# From the process


class Listening(msgspec.Struct, tag=True):
    """All listeners are open; each with the port that it got."""

    bound: list[ListenerSetup]


class Relistened(msgspec.Struct, tag=True):
    """The answer to Relisten: the listeners of now, as wanted and with their ports, and what was not possible."""

    listeners: list[ListenerSetup]
    bound: list[ListenerSetup]
    problems: list[str]


class CannotListen(msgspec.Struct, tag=True):
    """A listener cannot be opened: its address and the reason, and what to do. The process ends."""

    problem: str
    todo: str


class AddressQuestion(msgspec.Struct, tag=True):
    """The node is to say what script this address stands for."""

    address: str


class MinerReport(msgspec.Struct):
    """One worker name with one kind of client: its shares since the last report, and what holds now.

    `connections` are those that it mines with; `difficulty` is that of the newest.
    """

    tally: Tally
    connections: int
    difficulty: float


class Report(msgspec.Struct, tag=True):
    """Once a second: what changed since the last one, and how many connections there are.

    `credits` is the work that members of the group (scriptPubKeys in hex) have proven, in expected hashes.
    """

    connections: int
    miners: list[MinerReport]
    sessions: list[Held]
    credits: dict[str, str] = {}


class News(msgspec.Struct, tag=True):
    """Something that a person may want to read: `kind` as in the ledger, and its fields."""

    kind: str
    fields: dict[str, str | int | float]

    def __str__(self) -> str:
        fields = self.fields
        match self.kind:
            case "miner_connected":
                agent = fields["user_agent"] or "no user agent"
                return f"miner {fields['worker']} connected from {fields['peer']}: {agent}"
            case "miner_left":
                shares = many(int(fields["shares"]), "share")
                return f"miner {fields['worker']} left after {fields['secs']:.0f} s and {shares}: {fields['reason']}"
            case "miner_refused":
                return f"miner {fields['worker']} from {fields['peer']} refused: {fields['reason']}"
            case "miner_banned":
                return f"{fields['peer']} is turned away for some minutes: {fields['reason']}"
        return self.kind


ToProcess = Setup | Publish | Withdraw | Relisten | Elsewhere | AddressAnswer | Saved | Quit
FromProcess = (
    Listening | CannotListen | Relistened | BlockFound | NotableShare | KernelFault | AddressQuestion | Report | News
)
"""A block is sent before anything else."""

_encoder = msgspec.msgpack.Encoder()


def encode(message: ToProcess | FromProcess) -> bytes:
    """The message as a frame."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


class Frames:
    """Cuts a stream of bytes into messages of the given kinds."""

    def __init__(self, kinds: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(kinds)
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """The messages that `data` completes. Raises EngineError for what is no frame."""
        rest = self._rest
        rest += data
        messages, at = [], 0
        while len(rest) - at >= _LENGTH_BYTES:
            size = int.from_bytes(rest[at : at + _LENGTH_BYTES], "little")
            if size > MAX_FRAME_BYTES:
                raise EngineError(f"a message of {size} bytes between the daemon and its Stratum server")
            end = at + _LENGTH_BYTES + size
            if len(rest) < end:
                break
            try:
                messages.append(self._decoder.decode(bytes(rest[at + _LENGTH_BYTES : end])))
            except (msgspec.MsgspecError, ValueError) as error:
                raise EngineError(f"a message between the daemon and its Stratum server: {error}") from error
            at = end
        del rest[:at]
        return messages
