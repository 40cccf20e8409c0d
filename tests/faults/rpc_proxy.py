"""A proxy before a node's RPC that can misbehave: every failure of a network or a node, on the real answers.

Each request is offered to the faults that are set, in order; the first that wants it decides what becomes of it.
Without one it goes to the node and back, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Any, BinaryIO, Self

_HEADER_HEX = 160
_PARENT_ENDS, _NO_PARENT = 72, "00" * 32
"""What is submitted at the start and after an outage to try the way of a block: it has no parent, and is none."""


class Kind(Enum):
    """What can become of a request."""

    PASS = auto()  # as without a fault; for the hooks' sake
    RESET = auto()  # the connection breaks before the node sees it
    ANSWER_LOST = auto()  # the node does it, the connection breaks before its answer
    HALF_REPLY = auto()  # the node does it, half of its answer arrives
    NEVER = auto()  # it is swallowed, nothing ever comes back
    ANSWER_NEVER = auto()  # the node does it, nothing ever comes back
    HTTP_401 = auto()
    HTTP_500 = auto()
    HTTP_503 = auto()
    WARM_UP = auto()  # the node's own error -28
    GARBAGE = auto()  # HTTP 200 with a body that is no JSON


_CANNED = {
    Kind.HTTP_401: (401, b""),
    Kind.HTTP_500: (500, b"<html>Internal Server Error</html>"),
    Kind.HTTP_503: (503, b"Work queue depth exceeded"),
    Kind.WARM_UP: (500, b'{"result":null,"error":{"code":-28,"message":"Loading block index..."},"id":@ID@}'),
    Kind.GARBAGE: (200, b'{"result":nu'),
}


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` requests of `method` (None: of any, for ever while `times` is None).

    `before` is called when such a request has come in and before the node gets it, `after` when the node has answered
    and before the answer is handed on; both in the connection's thread, which waits for them.
    """

    kind: Kind
    method: str | None = None
    times: int | None = 1
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    hits: int = field(default=0, init=False)

    def wants(self, method: str) -> bool:
        """Whether it has something to do with a request."""
        return (self.method is None or self.method == method) and (self.times is None or self.hits < self.times)


class RpcProxy:
    """Listens on loopback in front of the RPC on `target_port`; a context manager.

    `pace_secs` holds requests for work up, so that a chain on which each hash solves a block grows at a pace that
    can be watched. `submitted` are the hashes (as RPC shows them) of all blocks that came by in submitblock.
    """

    def __init__(self, target_port: int, *, pace_secs: float = 0.0) -> None:
        self.pace_secs = pace_secs
        self.submitted: list[str] = []
        self._target_port = target_port
        self._asked: set[str] = set()
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._accepting = self._start_accepting(self._listener)

    def set(self, *faults: Fault) -> None:
        """Replace all faults by these."""
        with self._lock:
            self._faults = list(faults)

    def refuse(self) -> None:
        """From now on connections are refused, and those that are open are broken."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            self._accepting.join()
        self.drop_all()

    @property
    def is_listening(self) -> bool:
        """Whether it takes connections."""
        return self._listener is not None

    def accept(self) -> None:
        """Take connections again, at the same port."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._accepting = self._start_accepting(self._listener)

    def drop_all(self) -> None:
        """Break every open connection."""
        with self._lock:
            connections = list(self._open)
        for each in connections:
            _break(each)

    def heal(self) -> None:
        """No faults any more; requests that hang are let go."""
        self.set()
        self.accept()
        self.drop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.refuse()

    def _start_accepting(self, listener: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        node: socket.socket | None = None
        try:
            with client, client.makefile("rb") as stream, suppress(OSError, EOFError):
                while True:
                    request = _read_message(stream)
                    if node is None:
                        node = socket.create_connection(("127.0.0.1", self._target_port))
                        node.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if not self._relay(request, client, node):
                        return
        finally:
            with self._lock:
                self._open.discard(client)
            if node is not None:
                node.close()

    def _relay(self, request: bytes, client: socket.socket, node: socket.socket) -> bool:
        """Do with one request what is to be done; whether the connection goes on."""
        call = json.loads(request.partition(b"\r\n\r\n")[2])
        method = str(call["method"])
        trial = method == "submitblock" and call["params"][0][8:_PARENT_ENDS] == _NO_PARENT
        if not trial:
            self._note(method, call["params"])
        fault = self._take(f"trial of {method}" if trial else method)
        kind = fault.kind if fault else Kind.PASS
        if fault and fault.before:
            fault.before()
        if kind in _CANNED:
            status, body = _CANNED[kind]
            client.sendall(_canned(status, body.replace(b"@ID@", json.dumps(call["id"]).encode())))
            return True
        if kind is Kind.RESET:
            _break(client)
            return False
        if kind is Kind.NEVER:
            return self._hold(client)
        if self.pace_secs and self._is_for_work(method, call["params"]):
            time.sleep(self.pace_secs)
        node.sendall(request)
        with node.makefile("rb") as stream:
            answer = _read_message(stream)
        if fault and fault.after:
            fault.after()
        if kind is Kind.ANSWER_NEVER:
            return self._hold(client)
        if kind is Kind.HALF_REPLY:
            client.sendall(answer[: len(answer) * 2 // 3])
            return False
        if kind is Kind.ANSWER_LOST:
            _break(client)
            return False
        client.sendall(answer)
        return True

    def _note(self, method: str, params: list[Any]) -> None:
        if method == "submitblock":
            header = bytes.fromhex(params[0][:_HEADER_HEX])
            self.submitted.append(hashlib.sha256(hashlib.sha256(header).digest()).digest()[::-1].hex())

    def _is_for_work(self, method: str, params: list[Any]) -> bool:
        """A template, or the header of a tip that nobody asked for before."""
        if method == "getblockheader":
            new = params[0] not in self._asked
            self._asked.add(params[0])
            return new
        return method == "getblocktemplate" and not (params and "mode" in params[0])

    def _take(self, method: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.wants(method):
                    fault.hits += 1
                    return fault
        return None

    def _hold(self, client: socket.socket) -> bool:
        """Until the other side, or `drop_all`, gives up."""
        with suppress(OSError):
            client.recv(1)
        return False


def _read_message(stream: BinaryIO) -> bytes:
    """One HTTP message with a Content-Length, as it came. Raises EOFError where the connection ends."""
    head = bytearray()
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        head += line
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    body = stream.read(length)
    if not head or len(body) < length:
        raise EOFError
    return bytes(head) + b"\r\n" + body


def _canned(status: int, body: bytes) -> bytes:
    return f"HTTP/1.1 {status} As told\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _break(connection: socket.socket) -> None:
    """End it with RST, also for a thread that reads from it."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
