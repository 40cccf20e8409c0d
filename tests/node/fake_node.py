"""A node that answers as a test tells it to: a small HTTP server on loopback that can also misbehave.

Each request takes the next step of the script, or, once that is empty, the answer set for its method.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """One request as it came in; `login` is user:password, or ''."""

    method: str
    params: list[Any]
    path: str
    login: str
    id: Any = None


@dataclass(frozen=True)
class Reply:
    """A whole HTTP reply. `claimed` is the Content-Length to tell instead of the true one; `close` ends with FIN.

    A body that is a JSON-RPC reply without an id gets that of the request.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    claimed: int | None = None
    close: bool = False


@dataclass(frozen=True)
class Raw:
    """Bytes that are sent before the connection ends: as they are, but for `<request id>`."""

    content: bytes


class Drop:
    """Close the connection without an answer (FIN)."""


class Reset:
    """Break the connection off (RST)."""


class Silence:
    """Never answer; the connection stays open until the fake node ends."""


@dataclass(frozen=True)
class Drip:
    """Begin an answer and send one byte of it every `every_secs`, for as long as somebody reads."""

    every_secs: float


Step = Reply | Raw | Drop | Reset | Silence | Drip


def result(value: Any, **more: Any) -> Reply:
    """A success, in the form that Bitcoin Core gives it."""
    body = json.dumps({"result": value, "error": None}).encode()
    return Reply(200, body, {"Content-Type": "application/json"}, **more)


def error(code: int, message: str = "told to", status: int = 500) -> Reply:
    """An error of the node's own."""
    body = json.dumps({"result": None, "error": {"code": code, "message": message}}).encode()
    return Reply(status, body, {"Content-Type": "application/json"})


class FakeNode:
    """The server; a context manager. `answers` maps a method to its result, or to a function of the params."""

    def __init__(self, port: int = 0) -> None:
        self.answers: dict[str, Any] = {}
        self.script: deque[Step] = deque()
        self.requests: list[Request] = []
        self.connections = 0
        self.without_login: Step = Reply(401)
        self._asked = threading.Condition()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def then(self, *steps: Step) -> Self:
        """Append to the script."""
        self.script.extend(steps)
        return self

    def wait_for_request(self, count: int = 1, timeout_secs: float = 10.0) -> None:
        """Return when `count` requests have come in."""
        with self._asked:
            assert self._asked.wait_for(lambda: len(self.requests) >= count, timeout_secs)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, suppress(OSError):
            while (request := _read_request(stream.readline, stream.read)) is not None:
                step = self._next_step(request)
                if isinstance(step, Raw):
                    step = Raw(step.content.replace(_ID, b"%-12d" % request.id))
                if isinstance(step, Reply):
                    step = replace(step, body=_with_id(step.body.replace(_ID, b"%-12d" % request.id), request.id))
                if not self._perform(connection, step):
                    return

    def _next_step(self, request: Request) -> Step:
        with self._asked:
            self.requests.append(request)
            self._asked.notify_all()
            if self.script:
                return self.script.popleft()
        if not request.login:
            return self.without_login
        if request.method not in self.answers:
            return error(-32601, "Method not found", 404)
        answer = self.answers[request.method]
        value = answer(*request.params) if callable(answer) else answer
        return value if isinstance(value, Step) else result(value)

    def _perform(self, connection: socket.socket, step: Step) -> bool:
        """Do it; whether the connection goes on."""
        if isinstance(step, Reply):
            length = len(step.body) if step.claimed is None else step.claimed
            head = [f"HTTP/1.1 {step.status} As told", f"Content-Length: {length}"]
            if "Transfer-Encoding" in step.headers:
                head.pop()
            head += [f"{name}: {value}" for name, value in step.headers.items()]
            connection.sendall("\r\n".join([*head, "", ""]).encode() + step.body)
            return not step.close
        if isinstance(step, Raw):
            connection.sendall(step.content)
        if isinstance(step, Drip):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
            while not self._ended.wait(step.every_secs):
                connection.sendall(b" ")
        if isinstance(step, Silence):
            self._ended.wait()
        if isinstance(step, Reset):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


def _read_request(read_line: Callable[[], bytes], read: Callable[[int], bytes]) -> Request | None:
    first = read_line().split()
    if len(first) < 2:
        return None
    headers = {}
    while (line := read_line().strip()) != b"":
        name, _, value = line.decode().partition(": ")
        headers[name.lower()] = value
    length = int(headers.get("content-length", 1))
    if len(content := read(length)) < length:
        return None  # the client went away in the middle of it
    body = json.loads(content)
    login = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
    return Request(body["method"], body["params"], first[1].decode(), login, body["id"])


_ID = b"<request id>"


def _with_id(body: bytes, request_id: Any) -> bytes:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return body
    is_reply = isinstance(reply, dict) and {"result", "error"} & reply.keys() and "id" not in reply
    return body.rstrip()[:-1] + f', "id": {json.dumps(request_id)}}}'.encode() if is_reply else body
