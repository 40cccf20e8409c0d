"""python-bitcoinrpc's proxy on our own connection, without its overhead and misleading errors.

The library encodes every request twice and every reply once more for debug logs, parses with Decimal, rejects a reply
without a JSON content type (hiding a 401 or 503), and takes credentials from a URL without unquoting them. Here a
request is encoded once, the reply is returned unchanged with any status, and credentials are set in the header.
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

from solominer.config.forms import bracketed

MAX_REPLY_BYTES = 64 << 20
"""Larger than any expected reply; the template of a full block takes about 9 MB."""

CONNECT_TIMEOUT_SECS = 5.0

_HTTP = b"HTTP/"

_request_ids = count(secrets.randbits(31))  # programs behind the same proxy must not use the same ids


class HttpReply(NamedTuple):
    """One HTTP reply with its complete body; `date` is its Date header (whole Unix seconds), if any."""

    status: int
    reason: str
    body: bytes
    date: float | None


class NotHttp(HTTPException):
    """The server does not speak HTTP; `began` are the first bytes that it sent."""

    def __init__(self, began: bytes) -> None:
        super().__init__(f"it does not speak HTTP: its answer begins with {began!r}")
        self.began = began


class Connection(HTTPConnection):
    """An HTTP connection with keep-alive probes and one deadline for connecting, request and reply."""

    deadline = 0.0
    request_id = 0
    """Of the last request: the reply must have the same."""

    def connect(self) -> None:
        self.timeout = min(CONNECT_TIMEOUT_SECS, self.remaining_secs())
        try:
            super().connect()
        except TimeoutError as error:  # nothing was sent, so this is not a timeout with an unknown result
            raise HTTPException(f"no connection within {self.timeout:.1f} s") from error
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, option):  # not everywhere
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self.sock.settimeout(self.remaining_secs())

    def remaining_secs(self) -> float:
        """Seconds until the deadline. Raises TimeoutError after it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def is_stale(self) -> bool:
        """Whether the node has closed this idle connection (-rpcservertimeout, restart): it is readable."""
        return self.sock is None or bool(select.select([self.sock], [], [], 0)[0])


class Proxy(AuthServiceProxy):  # type: ignore[misc]
    """The library's proxy for one method, changed as described at the top of this module."""

    def __init__(self, connection: Connection, path: str, method: str, authorization: bytes) -> None:
        super().__init__(f"http://-:-@{bracketed(connection.host)}{path}", method, connection=connection)
        self.connection, self.path, self.method, self.authorization = connection, path, method, authorization

    def __call__(self, *params: Any) -> HttpReply:
        """Send the request; returns the reply with any status. After an exception the node may have acted."""
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
        sock = self.connection.sock  # getresponse() drops it if the node closes the connection
        sock.settimeout(self.connection.remaining_secs())
        _check_for_http(sock)
        response = self.connection.getresponse()
        chunks, size = [], 0
        while not response.isclosed():  # newer Pythons close it, with its socket, after the last byte
            sock.settimeout(self.connection.remaining_secs())
            chunks.append(response.read1(1 << 20))
            size += len(chunks[-1])
            if size > MAX_REPLY_BYTES:
                raise HTTPException(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
            if not chunks[-1]:
                break
        if response.length:  # read1, unlike read, does not report missing bytes
            raise HTTPException(f"the reply ended after {size} bytes, {response.length} are missing")
        response.read()  # returns nothing, and frees the connection for the next request
        return HttpReply(response.status, response.reason, b"".join(chunks), _date_of(response))


def _check_for_http(sock: socket.socket) -> None:
    """Wait for the reply and raise NotHttp if it is not HTTP, before http.client parses it."""
    began = sock.recv(16, socket.MSG_PEEK)
    if not _HTTP.startswith(began[: len(_HTTP)]):  # an empty reply is left to http.client
        raise NotHttp(began)


def _date_of(response: HTTPResponse) -> float | None:
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
