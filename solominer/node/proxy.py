"""python-bitcoinrpc's proxy on a connection of ours, with what costs or misleads in it replaced.

The library encodes every request twice and every reply once more for a debug line that is nearly always off, parses
with Decimal, refuses a reply without a JSON content type (so that a 401 or 503 looks like garbage), and takes
credentials from a URL without unquoting them. Here a request is encoded once, the reply is handed on as it came
whatever its status, and credentials go straight into the header.
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import count
from typing import Any, NamedTuple

import orjson
from bitcoinrpc.authproxy import USER_AGENT, AuthServiceProxy

MAX_REPLY_BYTES = 64 << 20
"""More than any reply that is asked for here; a template of a full block takes about 9 MB."""

CONNECT_TIMEOUT_SECS = 5.0

_HTTP = b"HTTP/"

_request_ids = count(secrets.randbits(31))  # no two programs behind one proxy count alike


class HttpReply(NamedTuple):
    """One HTTP reply: its body in full, and the node's clock from its Date header (Unix seconds, whole) if any."""

    status: int
    reason: str
    body: bytes
    date: float | None


class NotHttp(HTTPException):
    """What answers does not speak HTTP; `began` are its first bytes."""

    def __init__(self, began: bytes) -> None:
        super().__init__(f"it does not speak HTTP: its answer begins with {began!r}")
        self.began = began


class Connection(HTTPConnection):
    """An HTTP connection that notices a dead peer, and whose whole exchange keeps to one deadline."""

    deadline = 0.0
    request_id = 0
    """Of the last request: the reply must have the same."""

    def connect(self) -> None:
        self.timeout = min(CONNECT_TIMEOUT_SECS, self.remaining_secs())
        try:
            super().connect()
        except TimeoutError as error:  # nothing was sent, so this is not the timeout that leaves us ignorant
            raise HTTPException(f"no connection within {self.timeout:.1f} s") from error
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, option):  # not everywhere
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self.sock.settimeout(self.remaining_secs())

    def remaining_secs(self) -> float:
        """Seconds left. Raises TimeoutError when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def is_stale(self) -> bool:
        """Whether the node has closed this idle connection (-rpcservertimeout, restart): it is readable unasked."""
        return self.sock is None or bool(select.select([self.sock], [], [], 0)[0])


class Proxy(AuthServiceProxy):  # type: ignore[misc]
    """The library's proxy for one method, less what the module docstring names."""

    def __init__(self, connection: Connection, path: str, method: str, authorization: bytes) -> None:
        super().__init__(f"http://-:-@{bracketed(connection.host)}{path}", method, connection=connection)
        self.connection, self.path, self.method, self.authorization = connection, path, method, authorization

    def __call__(self, *params: Any) -> HttpReply:
        """Send the request; the reply whatever its status. The node may have acted whenever this raises."""
        request_id = self.connection.request_id = next(_request_ids)
        request = {"version": "1.1", "method": self.method, "params": params, "id": request_id}
        headers = {
            "Host": bracketed(self.connection.host),
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json",
        }
        if self.authorization:
            headers["Authorization"] = self.authorization
        if self.connection.sock is not None:
            self.connection.sock.settimeout(self.connection.remaining_secs())
        self.connection.request("POST", self.path, orjson.dumps(request), headers)
        return self._get_response()

    def _get_response(self) -> HttpReply:
        sock = self.connection.sock  # getresponse() lets go of it where the node closes behind its reply
        sock.settimeout(self.connection.remaining_secs())
        _check_for_http(sock)
        response = self.connection.getresponse()
        chunks, size = [], 0
        while not response.isclosed():  # newer Pythons close it, and the socket with it, behind the last byte
            sock.settimeout(self.connection.remaining_secs())
            chunks.append(response.read1(1 << 20))
            size += len(chunks[-1])
            if size > MAX_REPLY_BYTES:
                raise HTTPException(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
            if not chunks[-1]:
                break
        if response.length:  # read1, unlike read, is silent about what is missing
            raise HTTPException(f"the reply ended after {size} bytes, {response.length} are missing")
        response.read()  # gives nothing, and frees the connection for the next request
        return HttpReply(response.status, response.reason, b"".join(chunks), _date_of(response))


def bracketed(host: str) -> str:
    """A host as it stands before a colon: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def _check_for_http(sock: socket.socket) -> None:
    """Wait for the reply and refuse what is no HTTP, before any of it is taken for a line of text."""
    began = sock.recv(16, socket.MSG_PEEK)
    if not _HTTP.startswith(began[: len(_HTTP)]):  # nothing at all is left to http.client
        raise NotHttp(began)


def _date_of(response: HTTPResponse) -> float | None:
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
