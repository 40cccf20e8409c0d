"""One connection to a Stratum V1 pool, from the login to its end. Every wait has a timeout."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import NoReturn, Protocol

from solominer import __version__
from solominer.config.paths import plain_bytes
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
from solominer.errors import BadValue, PoolError, printable

AGENT = f"solominer/{__version__}"
MAX_FAULTS = 20
"""Answers to nothing that was asked, per connection; anything else that is wrong ends it at once."""

MAX_UNSENT_BYTES = 1 << 20
_MAX_PASSWORD_BYTES = 4096
_READ_BYTES = 65536
_FOREIGN = {
    Foreign.HTTP: ("a web server answers there", "check the port"),
    Foreign.TLS: ("it speaks TLS", "write the URL with stratum+ssl://"),
    Foreign.LONG_LINE: ("it sent a line of more than 256 KiB", "check the port"),
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds: for the connection, for the login, for a job, and between two attempts.

    `rest_secs` is how long a pool is left alone that rejects shares, or that contradicts itself.
    """

    connect_secs: float = 10.0
    login_secs: float = 15.0
    silence_secs: float = 90.0
    first_retry_secs: float = 1.0
    most_retry_secs: float = 60.0
    rest_secs: float = 600.0


class Redirect(Exception):
    """The pool sends us to another `host` and `port` ("" and 0: the same), after `wait_secs`."""

    def __init__(self, said: Redirected) -> None:
        super().__init__(said)
        self.host, self.port, self.wait_secs = said.host, said.port, said.wait_secs


class Listener(Protocol):
    """Who hears what a pool says. Each may raise PoolError, which ends the connection."""

    def logged_in(self) -> None:
        """The login is accepted."""

    def job(self, assignment: Assignment) -> None:
        """A job. Raises BadValue if it cannot be mined."""

    def answered(self, request_id: int, refusal: Refusal | None) -> None:
        """The answer to a share."""

    def told(self, text: str) -> None:
        """A message for people, printable."""


class PoolConnection:
    """See the module. `place` replaces the pool's host and port; `session_id` is that of an earlier connection."""

    def __init__(
        self,
        pool: PoolConfig,
        patience: Patience,
        listener: Listener,
        *,
        place: tuple[str, int] | None = None,
        session_id: str = "",
    ) -> None:
        self.client = StratumClient(AGENT)
        self._pool, self._patience, self._listener = pool, patience, listener
        self._place = place or pool.place
        self._session_id = session_id
        self._writer: asyncio.StreamWriter | None = None
        self._ready = False
        self._deadline = 0.0
        self._early: Assignment | None = None
        self._faults = 0

    async def run(self) -> NoReturn:
        """Connect, log in, and listen until the connection ends. Raises PoolError that says why, or Redirect."""
        password = password_of(self._pool)
        reader, self._writer = await self._connect()
        try:
            self._deadline = _now() + self._patience.login_secs
            self.send(self.client.configure()[1] + self.client.subscribe(self._session_id)[1])
            while True:
                received = self.client.receive(await self._read(reader))
                if received.data:
                    self.send(received.data)
                for event in received.events:
                    self._handle(event, password)
        finally:
            self._writer.transport.abort()

    def send(self, data: bytes) -> None:
        """Send; a pool that does not read is disconnected."""
        if self._writer is None or self._writer.is_closing():
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._writer.transport.abort()

    @property
    def is_ready(self) -> bool:
        """Whether shares can be sent."""
        return self._ready and self._writer is not None and not self._writer.is_closing()

    def _lost(self, why: str, todo: str = "") -> PoolError:
        return PoolError(f"{self._pool.url}: {why}", todo)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._place
        try:
            context = _tls_context(self._pool) if self._pool.tls else None
            async with asyncio.timeout(self._patience.connect_secs):
                return await asyncio.open_connection(
                    host, port, ssl=context, server_hostname=host if context else None, limit=_READ_BYTES
                )
        except TimeoutError:
            raise self._lost(f"no connection within {self._patience.connect_secs:g} s", "check host and port") from None
        except ssl.SSLCertVerificationError as error:
            todo = "check the host name; for a certificate of your own set tls_ca in `pools` of config.json"
            raise self._lost(f"its TLS certificate is not valid: {error.verify_message}", todo) from None
        except ssl.SSLError as error:
            what = (error.reason or "handshake failed").replace("_", " ").lower()
            raise self._lost(f"TLS failed: {what}", "check the port, or use stratum+tcp://") from None
        except (OSError, UnicodeError) as error:
            raise self._lost(f"cannot connect: {_reason(error)}", "check host, port and network") from None

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout_at(self._deadline):
                data = await reader.read(_READ_BYTES)
        except TimeoutError:
            data = None
        except OSError as error:
            raise self._lost(f"the connection was lost: {_reason(error)}") from None
        if data is None or _now() > self._deadline:
            if not self._ready:
                raise self._lost(f"not logged in within {self._patience.login_secs:g} s")
            raise self._lost(f"no job for {self._patience.silence_secs:g} s")
        if not data:
            raise self._lost(
                "the pool closed the connection" + ("" if self._ready else " before the login was answered")
            )
        return data

    def _handle(self, event: Event, password: str) -> None:
        match event:
            case JobArrived(assignment):
                self._early = assignment
                self._pass_on()
            case Reply():
                self._answered(event, password)
            case Redirected():
                raise Redirect(event)
            case Told(method, text) if method in ("client.show_message", "error"):
                self._listener.told(printable(text, 200))
            case NotStratum(kind):
                raise self._lost(*_FOREIGN[kind])
            case Fault(why, line) if "answer to nothing" in why and self._faults < MAX_FAULTS:
                self._faults += 1
            case Fault(why, line):
                raise self._lost(f"it sent {printable(line, 60)!r}: {why}")

    def _pass_on(self) -> None:
        """Pass the newest job on, once the login is accepted."""
        if not self._ready or self._early is None:
            return
        assignment, self._early = self._early, None
        self._deadline = _now() + self._patience.silence_secs
        try:
            self._listener.job(assignment)
        except BadValue as error:
            raise self._lost(f"its job cannot be mined: {error.what}") from None

    def _answered(self, reply: Reply, password: str) -> None:
        if reply.method == "mining.submit":
            self._listener.answered(reply.request_id, reply.refusal)
        elif reply.fault:
            raise self._lost(f"{reply.method}: {reply.fault}")
        elif reply.method == "mining.subscribe":
            if reply.refusal is not None:
                raise self._lost(f"it refuses mining.subscribe: {_said(reply.refusal)}")
            self.send(self.client.authorize(self._pool.user, password)[1])
            self.send(self.client.request("mining.extranonce.subscribe", [])[1])
        elif reply.method == "mining.authorize":
            if reply.refusal is not None:
                todo = "check user and password in `pools`; most solo pools want an address of the network"
                raise self._lost(f"it refuses user {self._pool.user!r}: {_said(reply.refusal)}", todo)
            self._ready = True
            self._deadline = _now() + self._patience.silence_secs
            self._listener.logged_in()
            self._pass_on()


def password_of(pool: PoolConfig) -> str:
    """The password, "x" if none is configured. Raises PoolError if its file cannot be read."""
    if pool.password_file is None:
        return pool.password.get_secret_value() or "x"
    try:
        with pool.password_file.open("rb") as file:
            lines = plain_bytes(file.read(_MAX_PASSWORD_BYTES)).decode().splitlines()
    except (OSError, ValueError) as error:
        why = _reason(error) if isinstance(error, OSError) else "not UTF-8 text"
        raise PoolError(f"{pool.url}: the password file {pool.password_file} cannot be read: {why}") from None
    return lines[0] if lines else "x"


def _tls_context(pool: PoolConfig) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if pool.tls_ca is None else str(pool.tls_ca))
    except OSError as error:  # ssl.SSLError is one
        why = "no certificate in PEM" if isinstance(error, ssl.SSLError) else _reason(error)
        raise PoolError(f"{pool.url}: tls_ca {pool.tls_ca} cannot be used: {why}", "name a PEM file") from None


def _said(refusal: Refusal) -> str:
    """A refusal as text."""
    code = "" if refusal.code is None else f" [{refusal.code}]"
    return f"{printable(refusal.text, 100) or 'no reason given'}{code}"


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionResetError):  # asyncio's have no text
        return "connection reset"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _now() -> float:
    return asyncio.get_running_loop().time()
