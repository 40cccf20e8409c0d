"""What is said with a pool, whatever the protocol, and how it is said in Stratum V1. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from solominer import __version__
from solominer.config.forms import is_address
from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment
from solominer.engines.stratum.client import (
    Event,
    Fault,
    Foreign,
    JobArrived,
    NotStratum,
    Redirected,
    Refusal,
    Reply,
    StratumClient,
    Told,
)
from solominer.errors import PoolError, printable

AGENT = f"solominer/{__version__}"
_SHORT_LABEL = 3
MAX_FAULTS = 20
"""Answers to nothing that was asked, per connection; anything else that is wrong ends it at once."""

_FOREIGN = {
    Foreign.HTTP: ("a web server answers there", "check the port"),
    Foreign.TLS: ("it speaks TLS", "write the URL with stratum+ssl://"),
    Foreign.LONG_LINE: ("it sent a line of more than 256 KiB", "check the port"),
}


class Redirect(Exception):
    """The pool sends us to another `host` and `port` ("" and 0: the same), after `wait_secs`."""

    def __init__(self, host: str, port: int, wait_secs: float = 0.0) -> None:
        super().__init__(host, port)
        self.host, self.port, self.wait_secs = host, port, wait_secs


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The login is accepted; shares may be sent."""


@dataclass(frozen=True, slots=True)
class ShareAnswered:
    """The answer to a share; `refusal` is None where it is accepted."""

    request_id: int
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Said:
    """A message for people, printable."""

    text: str


Heard = LoggedIn | JobArrived | ShareAnswered | Said


class Talk(Protocol):
    """One connection's side of a protocol: bytes in, what was heard and bytes to send out."""

    @property
    def session_id(self) -> str:
        """What resumes this session in another connection; "" if nothing does."""

    def begin(self) -> bytes:
        """What is sent first."""

    def receive(self, data: bytes) -> tuple[list[Heard], bytes]:
        """Bytes arrived. Raises PoolError if they cannot be used, or Redirect."""

    def submit(self, assignment: Assignment, extranonce2: bytes, nonce: int, bits: int) -> tuple[int, bytes]:
        """Hand in a share: the id of its answer, and the bytes to send."""

    def resumes(self, assignment: Assignment) -> bool:
        """Whether shares of an earlier connection's job may be handed in here."""

    def suggest(self, difficulty: float, hps: float) -> bytes:
        """Suggest a share difficulty for a hash rate."""


def lost(pool: PoolConfig, why: str, todo: str = "") -> PoolError:
    """The error of a connection to `pool`."""
    return PoolError(f"{pool.url}: {why}", todo)


class V1Talk:
    """Stratum V1. `session_id` resumes an earlier session."""

    def __init__(self, pool: PoolConfig, password: str, session_id: str) -> None:
        self._client = StratumClient(AGENT)
        self._pool, self._password, self._resumed_id = pool, password, session_id
        self._faults = 0

    @property
    def session_id(self) -> str:
        """See Talk."""
        return self._client.subscription.session_id if self._client.subscription else ""

    def begin(self) -> bytes:
        """See Talk."""
        return self._client.configure()[1] + self._client.subscribe(self._resumed_id)[1]

    def receive(self, data: bytes) -> tuple[list[Heard], bytes]:
        """See Talk."""
        received = self._client.receive(data)
        heard: list[Heard] = []
        reply = received.data
        for event in received.events:
            reply += self._handle(event, heard)
        return heard, reply

    def submit(self, assignment: Assignment, extranonce2: bytes, nonce: int, bits: int) -> tuple[int, bytes]:
        """See Talk."""
        return self._client.submit(self._pool.user, assignment, extranonce2, nonce, bits)

    def resumes(self, assignment: Assignment) -> bool:
        """See Talk. It does with the same extranonce1."""
        client = self._client
        ours = (assignment.extranonce1, assignment.extranonce2_size)
        return ours == (client.extranonce1, client.extranonce2_size)

    def suggest(self, difficulty: float, hps: float) -> bytes:
        """See Talk."""
        return self._client.request("mining.suggest_difficulty", [difficulty])[1]

    def _handle(self, event: Event, heard: list[Heard]) -> bytes:
        match event:
            case JobArrived():
                heard.append(event)
            case Reply():
                return self._answered(event, heard)
            case Redirected(host, port, wait_secs):
                raise Redirect(host, port, wait_secs)
            case Told(method, text) if method in ("client.show_message", "error"):
                heard.append(Said(printable(text, 200)))
            case NotStratum(kind):
                raise lost(self._pool, *_FOREIGN[kind])
            case Fault(why, line) if "answer to nothing" in why and self._faults < MAX_FAULTS:
                self._faults += 1
            case Fault(why, line):
                raise lost(self._pool, f"it sent {printable(line, 60)!r}: {why}")
        return b""

    def _answered(self, reply: Reply, heard: list[Heard]) -> bytes:
        if reply.method == "mining.submit":
            heard.append(ShareAnswered(reply.request_id, reply.refusal))
        elif reply.fault:
            raise lost(self._pool, f"{reply.method}: {reply.fault}")
        elif reply.method == "mining.subscribe":
            if reply.refusal is not None:
                raise lost(self._pool, f"it refuses mining.subscribe: {_said(reply.refusal)}")
            more = self._client.request("mining.extranonce.subscribe", [])[1]
            return self._client.authorize(self._pool.user, self._password)[1] + more
        elif reply.method == "mining.authorize":
            if reply.refusal is not None:
                todo = "check user and password in `pools`; most solo pools want an address of the network"
                raise lost(self._pool, f"it refuses user {self._pool.user!r}: {_said(reply.refusal)}", todo)
            heard.append(LoggedIn())
        return b""


def _said(refusal: Refusal) -> str:
    """A refusal as text."""
    code = "" if refusal.code is None else f" [{refusal.code}]"
    return f"{printable(refusal.text, 100) or 'no reason given'}{code}"


def may_redirect(configured: str, host: str) -> bool:
    """Whether `host` belongs to the domain of the `configured` host.

    That is the same host, one below it, or one beside it: `eu.pool.example.org` may send to `us.pool.example.org`. An
    address may only send to itself. Registries' own domains such as `co.uk` are no domain of anybody.
    """
    ours, theirs = configured.lower().rstrip("."), host.lower().rstrip(".")
    if ours == theirs:
        return True
    if is_address(ours) or is_address(theirs):
        return False
    _, _, parent = ours.partition(".")
    labels = parent.split(".")
    is_registry = len(labels) < 2 or (len(labels) == 2 and len(labels[1]) == 2 and len(labels[0]) <= _SHORT_LABEL)
    domains = [ours] if is_registry else [ours, parent]
    return any(theirs == domain or theirs.endswith(f".{domain}") for domain in domains if "." in domain)
