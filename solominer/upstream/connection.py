"""One connection to a pool, from the login to its end. Every wait has a timeout."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import NoReturn, Protocol

from solominer.config.forms import system_words
from solominer.config.password_file import read_password
from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment
from solominer.engines.stratum.client import JobArrived, Refusal
from solominer.errors import BadValue, ConfigError, PoolError
from solominer.upstream.talk import Heard, LoggedIn, Said, ShareAnswered, Talk, V1Talk, lost

MAX_UNSENT_BYTES = 1 << 20
_READ_BYTES = 65536


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
    """See the module. `place` replaces the pool's host and port; `session_id` is that of an earlier connection.

    Raises PoolError if the pool's settings cannot be used.
    """

    def __init__(
        self,
        pool: PoolConfig,
        patience: Patience,
        listener: Listener,
        *,
        place: tuple[str, int] | None = None,
        session_id: str = "",
    ) -> None:
        self._pool, self._patience, self._listener = pool, patience, listener
        self._place = place or pool.place
        self.talk = _talk_of(pool, self._place, session_id)
        self._writer: asyncio.StreamWriter | None = None
        self._ready = False
        self._deadline = 0.0
        self._early: Assignment | None = None

    async def run(self) -> NoReturn:
        """Connect, log in, and listen until the connection ends. Raises PoolError that says why, or Redirect."""
        reader, self._writer = await self._connect()
        try:
            self._deadline = _now() + self._patience.login_secs
            self.send(self.talk.begin())
            while True:
                heard, reply = self.talk.receive(await self._read(reader))
                if reply:
                    self.send(reply)
                for each in heard:
                    self._handle(each)
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

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._place
        try:
            context = tls_context(self._pool) if self._pool.tls else None
            async with asyncio.timeout(self._patience.connect_secs):
                return await asyncio.open_connection(
                    host, port, ssl=context, server_hostname=host if context else None, limit=_READ_BYTES
                )
        except TimeoutError:
            raise lost(
                self._pool, f"no connection within {self._patience.connect_secs:g} s", "check host and port"
            ) from None
        except ssl.SSLCertVerificationError as error:
            todo = "check the host name; for a certificate of your own set tls_ca in `pools` of config.json"
            raise lost(self._pool, f"its TLS certificate is not valid: {error.verify_message}", todo) from None
        except ssl.SSLError as error:
            what = (error.reason or "handshake failed").replace("_", " ").lower()
            raise lost(self._pool, f"TLS failed: {what}", "check the port, or use stratum+tcp://") from None
        except (OSError, UnicodeError) as error:
            raise lost(self._pool, f"cannot connect: {_reason(error)}", "check host, port and network") from None

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout_at(self._deadline):
                data = await reader.read(_READ_BYTES)
        except TimeoutError:
            data = None
        except OSError as error:
            raise lost(self._pool, f"the connection was lost: {_reason(error)}") from None
        if data is None or _now() > self._deadline:
            if not self._ready:
                raise lost(self._pool, f"not logged in within {self._patience.login_secs:g} s")
            raise lost(self._pool, f"no job for {self._patience.silence_secs:g} s")
        if not data:
            raise lost(
                self._pool, "the pool closed the connection" + ("" if self._ready else " before the login was answered")
            )
        return data

    def _handle(self, heard: Heard) -> None:
        match heard:
            case LoggedIn():
                self._ready = True
                self._deadline = _now() + self._patience.silence_secs
                self._listener.logged_in()
                self._pass_on()
            case JobArrived(assignment):
                self._early = assignment
                self._pass_on()
            case ShareAnswered(request_id, refusal):
                self._listener.answered(request_id, refusal)
            case Said(text):
                self._listener.told(text)

    def _pass_on(self) -> None:
        """Pass the newest job on, once the login is accepted."""
        if not self._ready or self._early is None:
            return
        assignment, self._early = self._early, None
        self._deadline = _now() + self._patience.silence_secs
        try:
            self._listener.job(assignment)
        except BadValue as error:
            raise lost(self._pool, f"its job cannot be mined: {error.what}") from None


def _talk_of(pool: PoolConfig, place: tuple[str, int], session_id: str) -> Talk:
    if not pool.authority_key:
        return V1Talk(pool, password_of(pool), session_id)
    try:
        from solominer.upstream.talk_v2 import V2Talk
    except ImportError as error:
        todo = "install it: pip install 'solominer[stratum2]'"
        raise PoolError(f"{pool.url}: Stratum V2 needs the package {error.name}", todo) from error
    return V2Talk(pool, place)


def password_of(pool: PoolConfig) -> str:
    """The password, "x" if none is configured. Raises PoolError if its file cannot be used."""
    if pool.password_file is None:
        return pool.password.get_secret_value() or "x"
    try:
        return read_password(pool.password_file)
    except ConfigError as error:
        raise PoolError(f"{pool.url}: {error.what}", f"{error.todo}; it is tried again") from None


def tls_context(pool: PoolConfig) -> ssl.SSLContext:
    """What the pool's certificate is checked with. Raises PoolError if `tls_ca` cannot be used."""
    try:
        return ssl.create_default_context(cafile=None if pool.tls_ca is None else str(pool.tls_ca))
    except OSError as error:  # ssl.SSLError is one
        why = "no certificate in PEM" if isinstance(error, ssl.SSLError) else _reason(error)
        raise PoolError(f"{pool.url}: tls_ca {pool.tls_ca} cannot be used: {why}", "name a PEM file") from None


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionResetError):  # asyncio's have no text
        return "connection reset"
    return system_words(error) if isinstance(error, OSError) else str(error) or type(error).__name__


def _now() -> float:
    return asyncio.get_running_loop().time()
