"""JSON-RPC to one node over one connection; every failure is mapped to a NodeError."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from solominer.chain.fields import Field, decode, shown
from solominer.chain.networks import MAINNET, Network
from solominer.config.forms import bracketed
from solominer.errors import (
    BadValue,
    ConfigError,
    MethodNotAllowed,
    NodeAuthFailed,
    NodeError,
    NodeNotReady,
    NodeTimeout,
    NodeUnreachable,
    RpcFailed,
    printable,
)
from solominer.node.credentials import CookieFile, Credentials
from solominer.node.login import Login, user_of
from solominer.node.proxy import Connection, HttpReply, NotHttp, Proxy

_log = logging.getLogger("solominer.node.rpc")

NOT_CONNECTED, INITIAL_DOWNLOAD, WARMING_UP = -9, -10, -28
NOT_FOUND, OUT_OF_RANGE, DESERIALIZATION_FAILED = -5, -8, -22
WALLET_NOT_FOUND, NO_SUCH_LABEL, METHOD_NOT_FOUND = -18, -11, -32601

QUEUE_FULL_SECS = 5.0
"""How long a call is retried while the node's work queue is full (HTTP 503)."""

NOT_IN_BETWEEN = "check that bitcoin_rpc.host and bitcoin_rpc.port are a node's RPC, without a proxy in between"

_NOT_READY = {
    NOT_CONNECTED: "wait until the node has peers; check its network connection",
    INITIAL_DOWNLOAD: "wait until the node is synced",
    WARMING_UP: "wait until the node has started",
}


class RpcClient:
    """RPC to the node at `host`:`port` over one connection. Not thread-safe, except for `interrupt`.

    `login` is shared by all clients of a node, or made from `Credentials`; `name` (of the node) and `network` are for
    error texts; `timeout_secs` is for a whole call. A call that fails on an old connection before any answer is sent
    again on a new one: all calls of this program may be repeated. Raises ConfigError for an invalid host.
    """

    def __init__(
        self,
        host: str,
        port: int,
        login: Credentials | Login,
        *,
        name: str = "",
        network: Network = MAINNET,
        timeout_secs: float = 30.0,
    ) -> None:
        self.where = f"{bracketed(host)}:{port}"
        self.node = f"node {name} ({self.where})" if name else f"the node at {self.where}"
        self.clock_offset_secs: float | None = None
        """The node's clock minus ours at the last reply; 0 within the precision of the Date header (seconds)."""
        self.on_queue_full: Callable[[], None] = lambda: None
        """Called, in the thread of the call, when the node answers that its work queue is full."""
        self._login = login if isinstance(login, Login) else Login(login)
        self._network = network
        self._timeout_secs = timeout_secs
        try:
            self._connection = Connection(host, port)
        except InvalidURL as error:
            raise ConfigError(f"{host!r:.80} is not a host", "correct bitcoin_rpc.host") from error
        self._closed = False

    def call(self, method: str, *params: object, wallet: str | None = None, timeout_secs: float | None = None) -> Any:
        """Return the result of one call. Decimal numbers are returned as float.

        Raises NodeUnreachable, NodeTimeout, NodeAuthFailed, MethodNotAllowed, NodeNotReady, RpcFailed, or a bare
        NodeError for a reply that is not JSON-RPC.
        """
        return self.decode_reply(self.call_raw(method, *params, wallet=wallet, timeout_secs=timeout_secs), method)

    def ask_optional(self, method: str, *params: object, instead: object) -> Field:
        """As `ask`, but returns `instead` if the node lacks the method or does not allow it.

        Logged once per node and method.
        """
        try:
            return self.ask(method, *params)
        except MethodNotAllowed as error:
            reason = f"{error.what}: {error.todo}"
        except RpcFailed as error:
            if error.code != METHOD_NOT_FOUND:
                raise
            reason = error.what
        if self._login.first_time(method):
            _log.warning("%s; continuing without it", reason)
        return Field(instead, method, self._unusable)

    def call_raw(
        self, method: str, *params: object, wallet: str | None = None, timeout_secs: float | None = None
    ) -> bytes:
        """Return the unparsed body of the reply to one call, even if it holds an RPC error. Raises as `call`."""
        timeout_secs = self._timeout_secs if timeout_secs is None else timeout_secs
        path = "/" if wallet is None else f"/wallet/{quote(wallet, safe='')}"
        started = time.monotonic()
        self._connection.deadline = started + timeout_secs
        authorization = self._login.header()
        reply = self._post(path, method, params, timeout_secs, authorization)
        if reply.status == 401 and (other := self._other_login(authorization)) != authorization:
            authorization = other  # the node was restarted and has written a new cookie
            reply = self._post(path, method, params, timeout_secs, authorization)
        pause_secs = 0.02
        while _queue_is_full(reply) and time.monotonic() + pause_secs < started + min(timeout_secs, QUEUE_FULL_SECS):
            self.on_queue_full()
            time.sleep(pause_secs)
            pause_secs = min(2 * pause_secs, 0.5)
            reply = self._post(path, method, params, timeout_secs, authorization)
        if reply.status == 403:
            raise self._forbidden(method, timeout_secs, authorization)
        body = self._body_of(reply, method)
        self._login.accepted(authorization)
        return body

    def ask(self, method: str, *params: object, wallet: str | None = None, timeout_secs: float | None = None) -> Field:
        """As `call`, returning a Field that raises NodeError on values of a wrong type or range."""
        return Field(self.call(method, *params, wallet=wallet, timeout_secs=timeout_secs), method, self._unusable)

    def decode_reply(self, body: bytes, method: str) -> Any:
        """Return the result in the body of the last reply. Raises RpcFailed, NodeNotReady, or NodeError for no JSON-RPC
        and for the reply to another request; the connection is closed then.
        """
        try:
            reply = decode(body)
        except BadValue as error:
            raise self._misfit(method, f"with broken JSON, {len(body)} bytes") from error
        if not isinstance(reply, dict) or not {"result", "error"} & reply.keys():
            raise self._misfit(method, "with JSON that is not JSON-RPC")
        request_id, answered_id = self._connection.request_id, reply.get("id")
        if type(answered_id) is not int or answered_id != request_id:
            raise self._misfit(method, f"with the reply to another request (id {shown(answered_id)}, not {request_id})")
        if reply.get("error") is not None:
            raise self._error_of(reply["error"], method)
        if "result" not in reply:
            raise self._misfit(method, "with JSON that is not JSON-RPC")
        return reply["result"]

    def interrupt(self) -> None:
        """Close it for good, from any thread: running and later calls raise NodeUnreachable."""
        self._closed = True
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):  # it may be down already
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _other_login(self, refused: bytes) -> bytes:
        try:
            return self._login.after_refusal(refused)
        except NodeAuthFailed as error:
            raise NodeAuthFailed(
                f"{self.node} rejects our credentials (HTTP 401), and {error.what}", error.todo
            ) from error

    def _forbidden(self, method: str, timeout_secs: float, authorization: bytes) -> NodeAuthFailed:
        """rpcallowip and rpcwhitelist both answer 403, but a request without login is answered 401 by the latter."""
        try:
            status = self._post("/", "getbestblockhash", (), timeout_secs, b"").status
        except NodeError:
            status = 403
        if status == 403 and not self._login.works:
            return NodeAuthFailed(
                f"{self.node} rejects connections from this address (HTTP 403)",
                "allow it with rpcallowip in bitcoin.conf",
            )
        return MethodNotAllowed(
            f"{self.node} does not allow user {user_of(authorization)} to call {method} (HTTP 403)",
            "add it to rpcwhitelist in bitcoin.conf"
            + ("; if all calls are rejected, allow this address with rpcallowip" if status == 403 else ""),
        )

    def _post(
        self, path: str, method: str, params: tuple[object, ...], timeout_secs: float, authorization: bytes
    ) -> HttpReply:
        try:
            return self._post_once_or_twice(path, method, params, authorization)
        except TimeoutError as error:
            self._connection.close()
            raise NodeTimeout(
                f"{self.node} did not answer {method} within {timeout_secs:g} s",
                "it is retried; if this persists, check the node's load and debug.log",
            ) from error
        except NotHttp as error:
            self._connection.close()
            raise NodeUnreachable(
                f"the server at {self.where} does not speak HTTP; its answer begins with {printable(error.began)}",
                f"{self._advice_on_port(error.began)}; correct bitcoin_rpc.port",
            ) from error
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a host name that cannot be encoded
            self._connection.close()
            raise NodeUnreachable(
                f"{self.node} is unreachable for {method}: {_in_words(error)}",
                "check that it runs with server=1, and check bitcoin_rpc.host and bitcoin_rpc.port; "
                + (f"{self._advice_on_port()}; " if self._connection.port == self._network.p2p_port else "")
                + "it is retried",
            ) from error

    def _advice_on_port(self, began: bytes = b"") -> str:
        if began[1:2] == b"\x03":  # an alert or a handshake record
            return "it speaks TLS, which the RPC of a node does not"
        return f"is it the P2P port ({self._network.p2p_port})? RPC is {self._network.rpc_port}"

    def _post_once_or_twice(
        self, path: str, method: str, params: tuple[object, ...], authorization: bytes
    ) -> HttpReply:
        connection = self._connection
        if connection.sock is not None and connection.is_stale():
            connection.close()
        reused = connection.sock is not None
        sent = time.time()
        try:
            reply = self._post_once(path, method, params, authorization)
        except ConnectionError:
            if not reused or self._closed:
                raise
            connection.close()
            sent = time.time()
            reply = self._post_once(path, method, params, authorization)
        if reply.date is not None:
            self.clock_offset_secs = _offset(reply.date, sent, time.time())
        return reply

    def _post_once(self, path: str, method: str, params: tuple[object, ...], authorization: bytes) -> HttpReply:
        if self._closed:
            raise ConnectionAbortedError("closed by this program")
        reply: HttpReply = Proxy(self._connection, path, method, authorization)(*params)
        return reply

    def _body_of(self, reply: HttpReply, method: str) -> bytes:
        if reply.status == 401:
            raise NodeAuthFailed(f"{self.node} rejects our credentials (HTTP 401)", f"tried: {self._login.describe()}")
        if reply.status == 503:
            said = printable(reply.body.strip(), 80)
            raise NodeNotReady(
                f"{self.node} cannot answer {method} now (HTTP 503 {said})",
                "it is starting, stopping or overloaded (rpcworkqueue); it is retried",
            )
        if not reply.body.lstrip()[:1] == b"{":
            raise NodeError(f"{self.node} answered {method} with HTTP {reply.status} and no JSON-RPC", NOT_IN_BETWEEN)
        return reply.body

    def _misfit(self, method: str, how: str) -> NodeError:
        self.close()  # the next reply on it may belong to another request
        return NodeError(f"{self.node} answered {method} {how}", NOT_IN_BETWEEN)

    def _unusable(self, what: str) -> NodeError:
        return NodeError(f"{self.node} sent an invalid answer: {what}", f"check the node's version; {NOT_IN_BETWEEN}")

    def _error_of(self, error: object, method: str) -> NodeError:
        fields = error if isinstance(error, dict) else {"message": error}
        code, message = fields.get("code"), fields.get("message")
        code = code if type(code) is int and abs(code) < 1 << 31 else 0
        message = printable(message, 500) if isinstance(message, str) else shown(message)
        if code in _NOT_READY:
            return NodeNotReady(f"{self.node} is not ready: {message} ({code})", _NOT_READY[code])
        return RpcFailed(f"{self.node} answered {method} with error {code}: {message}", code=code)


class CookieRpc:
    """RPC to a node on this machine with the cookie in `cookie_file`, for private nodes and their scenarios.

    Each call uses a new connection, so it is thread-safe and has no idle timeout; on loopback this takes a fraction of
    a millisecond. Raises as `RpcClient.call`.
    """

    def __init__(self, host: str, port: int, cookie_file: Path) -> None:
        self._host, self._port, self._login = host, port, Login(CookieFile((cookie_file,)))

    def call(self, method: str, *params: object, wallet: str | None = None, timeout_secs: float = 60.0) -> Any:
        """Return the result of one call."""
        with RpcClient(self._host, self._port, self._login, timeout_secs=timeout_secs) as client:
            return client.call(method, *params, wallet=wallet)

    def batch(self, method: str, params: Sequence[Sequence[object]]) -> list[Any]:
        """Call `method` once for each item of `params` over one connection; the first failing call raises."""
        with RpcClient(self._host, self._port, self._login, timeout_secs=60.0) as client:
            return [client.call(method, *each) for each in params]


def _queue_is_full(reply: HttpReply) -> bool:
    return reply.status == 503 and b"queue" in reply.body[:200].lower()


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(str(error), 200) or type(error).__name__


def _offset(date: float, sent: float, received: float) -> float:
    """Minimum offset to our clock of a clock that showed `date` (whole seconds) between `sent` and `received`."""
    if date > received:
        return date - received
    if date + 1 < sent:
        return date + 1 - sent
    return 0.0
