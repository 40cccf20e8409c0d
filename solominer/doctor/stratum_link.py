"""A blocking connection to a Stratum server for `try-stratum`, with a timeout on every operation."""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from solominer.config.forms import bracketed
from solominer.engines.stratum.client import Asked, Event, Fault, Foreign, NotStratum, Redirected, StratumClient, Told
from solominer.errors import SolominerError, printable

CONNECT_SECS = 10.0
SEND_SECS = 10.0
READ_BYTES = 65536
_LEAST_WAIT_SECS = 0.001

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """Address of a server, and whether it uses TLS. `path` of a Unix socket replaces host and port.

    `greeting` is sent first: a PROXY header.
    """

    host: str
    port: int
    tls: bool
    path: str = ""
    greeting: bytes = b""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"{bracketed(self.host)}:{self.port}"


class Link:
    """One connection: sends lines, waits for events, and counts the server's requests and faults."""

    def __init__(self, server: Server, client: StratumClient) -> None:
        self.server, self.client = server, client
        self._socket: socket.socket | None = None
        self._anything_came = False
        self._events: deque[Event] = deque()
        self.asked = 0
        self.faults: list[Fault] = []
        self.fault_count = 0
        self.told: list[Told] = []

    def open(self) -> str:
        """Connect. Returns the TLS version and any problem of the certificate, or ''. Raises SolominerError."""
        raw = connect(self.server)
        tls = ""
        try:
            if self.server.tls:
                raw, tls = _with_tls(raw, self.server)
        except SolominerError:
            raw.close()
            raise
        self._socket = raw
        if self.server.greeting:
            self.send(self.server.greeting)
        return tls

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return self._socket is not None

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises SolominerError."""
        connection = self._connection()
        try:
            connection.settimeout(SEND_SECS)
            connection.sendall(data)
        except TimeoutError:
            self.close()
            raise SolominerError(f"sending to {self.server} timed out", "check the server's load and log") from None
        except OSError as error:
            self._lost(error)

    def wait(self, wanted: Callable[[Event], T | None], secs: float) -> T | None:
        """The first result of `wanted` that is not None, within `secs`, else None. Other events are dropped.

        Raises SolominerError if the connection ends, or the server does not speak Stratum.
        """
        deadline = time.monotonic() + secs
        while True:
            while self._events:
                found = wanted(self._events.popleft())
                if found is not None:
                    return found
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._read(left)

    def _read(self, secs: float) -> None:
        connection = self._connection()
        try:
            connection.settimeout(max(secs, _LEAST_WAIT_SECS))
            data = connection.recv(READ_BYTES)
        except (TimeoutError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._lost(error)
        if not data:
            self._lost(None)
        received = self.client.receive(data)
        self._anything_came = True
        for event in received.events:
            self._count(event)
        self._events += received.events
        if received.data:
            self.send(received.data)

    def _count(self, event: Event) -> None:
        if isinstance(event, NotStratum):
            self.close()
            raise _not_stratum(self.server, event)
        if isinstance(event, Asked):
            self.asked += 1
        elif isinstance(event, Fault):
            self.fault_count += 1
            if len(self.faults) < 3:
                self.faults.append(event)
        elif isinstance(event, Redirected):
            self._count(Told("client.reconnect", f"{event.host or 'the same host'}:{event.port or 'the same port'}"))
        elif isinstance(event, Told) and len(self.told) < 3:
            self.told.append(event)

    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise SolominerError(f"the connection to {self.server} is closed", "see the server's log")
        return self._socket

    def _lost(self, error: OSError | None) -> NoReturn:
        """Close the connection and raise SolominerError with the reason."""
        self.close()
        if not self._anything_came and not self.server.tls and speaks_tls(self.server):
            raise SolominerError(f"{self.server} expects TLS", "try it with --tls")
        how = "" if self._anything_came else " before sending anything"
        how += "" if error is None else f": {_reason(error)}"
        message = "".join(
            f"; its last message was {printable(each.text, 200)!r}" for each in self.told[-1:] if each.text
        )
        todo = "check that this is a Stratum V1 port, and see the server's log"
        raise SolominerError(f"{self.server} closed the connection{how}{message}", todo)


def speaks_tls(server: Server) -> bool:
    """Whether a TLS handshake succeeds, on a new connection."""
    try:
        raw = connect(server)
        try:
            raw, _ = _handshake(raw, server, verify=False)
        finally:
            raw.close()
    except (SolominerError, OSError):
        return False
    return True


def served_certificate(server: Server) -> bytes:
    """The server's certificate in DER, from a separate connection. Raises SolominerError."""
    raw = connect(server)
    try:
        raw, _ = _handshake(raw, server, verify=False)
        return raw.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise SolominerError(f"{server} does not speak TLS: {_reason(error)}") from None
    finally:
        raw.close()


def connect(server: Server) -> socket.socket:
    """A connection without TLS. Raises SolominerError that says why there is none."""
    try:
        if server.path:
            return _connect_unix(server.path)
        raw = socket.create_connection((server.host, server.port), CONNECT_SECS)
    except TimeoutError:
        raise SolominerError(
            f"{server} does not answer within {CONNECT_SECS:.0f} s", "check the host, the port and firewalls"
        ) from None
    except ConnectionRefusedError:
        raise SolominerError(f"{server} refuses connections", "start the server, or check its port") from None
    except FileNotFoundError:  # of a Unix socket
        raise SolominerError(f"{server} does not exist", "start the server, or check its path") from None
    except (OSError, UnicodeError) as error:
        raise SolominerError(f"cannot connect to {server}: {_reason(error)}", "check the host") from None
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def _connect_unix(path: str) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX)
    try:
        raw.settimeout(CONNECT_SECS)
        raw.connect(path)
    except OSError:
        raw.close()
        raise
    return raw


def _with_tls(raw: socket.socket, server: Server) -> tuple[socket.socket, str]:
    """Set up TLS. Returns the TLS version and any problem of the certificate, which few miners verify."""
    try:
        return _handshake(raw, server, verify=True)
    except ssl.SSLCertVerificationError as error:
        raw.close()
        reason = printable(error.verify_message, 120)
    except TimeoutError:
        raise SolominerError(
            f"{server} does not answer a TLS ClientHello within {CONNECT_SECS:.0f} s", "try it without --tls"
        ) from None
    except OSError as error:
        raise SolominerError(f"{server} does not speak TLS: {_reason(error)}", "try it without --tls") from None
    try:
        wrapped, version = _handshake(connect(server), server, verify=False)
    except OSError as error:
        raise SolominerError(f"{server} does not speak TLS: {_reason(error)}", "try it without --tls") from None
    return wrapped, f"{version}, certificate verification fails ({reason})"


def _handshake(raw: socket.socket, server: Server, *, verify: bool) -> tuple[ssl.SSLSocket, str]:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    raw.settimeout(CONNECT_SECS)
    raw.getpeername()  # raises if the server has closed; wrap_socket would leak the socket then
    wrapped = context.wrap_socket(raw, server_hostname=server.host)
    return wrapped, str(wrapped.version())


def _not_stratum(server: Server, event: NotStratum) -> SolominerError:
    if event.kind is Foreign.TLS:
        return SolominerError(f"{server} expects TLS", "try it with --tls")
    if event.kind is Foreign.HTTP:
        began = printable(event.began.split(b"\r\n")[0], 80)
        return SolominerError(f"{server} speaks HTTP, not Stratum: {began}", "use the server's Stratum port")
    return SolominerError(
        f"{server} sends an overlong line, beginning with {printable(event.began, 60)}",
        "check that this is a Stratum V1 port",
    )


def _reason(error: Exception) -> str:
    return printable(getattr(error, "strerror", None) or str(error), 120) or type(error).__name__
