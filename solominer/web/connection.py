"""A connection of a client: uvicorn's, with a bound on the head of a request, which uvicorn keeps at any length."""

from __future__ import annotations

import json
import logging

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 << 10

_TOO_LARGE = json.dumps(
    {"error": f"the head of a request may have {MAX_HEAD_BYTES} bytes", "todo": "send less"}
).encode()
_RESPONSE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_TOO_LARGE), _TOO_LARGE)
)

_FAULTS_OF_CLIENTS = (
    "Invalid HTTP request received.",
    "Unsupported upgrade request.",
    "ASGI callable returned without completing handshake.",  # a WebSocket that was refused with a response
)


class Connection(HttpToolsProtocol):
    """Closes itself where what is no body (head, trailers, sizes of chunks) of a request exceeds MAX_HEAD_BYTES.

    One that arrives at once may be longer, by what one read of the socket holds.
    """

    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_RESPONSE)
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """A part of the body: the guard bounds these."""
        self._head_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is read: what follows is the next one's."""
        self._head_bytes = 0
        super().on_message_complete()


def is_ours(record: logging.LogRecord) -> bool:
    """Filter of uvicorn's log: whether it is about this server. Whoever connects could fill the log with the rest."""
    return record.msg not in _FAULTS_OF_CLIENTS
