"""An MQTT 3.1.1 broker as far as a publisher needs one: CONNECT, PUBLISH with QoS 0, PINGREQ, DISCONNECT."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

CONNECT, PUBLISH, PINGREQ, DISCONNECT = 1, 3, 12, 14
ACCEPTED, NOT_AUTHORIZED = 0, 5
_RETAIN, _WILL_RETAIN = 0x01, 0x20


@dataclass(frozen=True, slots=True)
class Login:
    """What a CONNECT says. `will` is (topic, payload, whether it is retained)."""

    client_id: str
    username: str | None
    password: str | None
    will: tuple[str, str, bool] | None


class FakeBroker:
    """Keeps logins, messages as (topic, payload, retained), and the number of clean ends. `answer` is of CONNECT."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer = ACCEPTED
        self.logins: list[Login] = []
        self.messages: list[tuple[str, str, bool]] = []
        self.ended = 0
        self.port = 0
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeBroker]:
        """Serve until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.drop()

    def drop(self) -> None:
        """Cut every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def newest(self, topic: str) -> str | None:
        """The last payload of a topic."""
        return next((payload for name, payload, _ in reversed(self.messages) if name == topic), None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                (head,) = await reader.readexactly(1)
                body = await reader.readexactly(await _length(reader))
                self._take(head, body, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _take(self, head: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        kind = head >> 4
        if kind == CONNECT:
            self.logins.append(_login(body))
            writer.write(bytes([0x20, 2, 0, self.answer]))
        elif kind == PUBLISH:
            topic, payload = _text(body)
            self.messages.append((topic, payload.decode(), bool(head & _RETAIN)))
        elif kind == PINGREQ:
            writer.write(bytes([0xD0, 0]))
        elif kind == DISCONNECT:
            self.ended += 1


async def _length(reader: asyncio.StreamReader) -> int:
    size, shift = 0, 0
    while True:
        (byte,) = await reader.readexactly(1)
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size
        shift += 7


def _text(body: bytes) -> tuple[str, bytes]:
    """A text with its length before it, and the rest."""
    size = int.from_bytes(body[:2], "big")
    return body[2 : 2 + size].decode(), body[2 + size :]


def _login(body: bytes) -> Login:
    protocol, rest = _text(body)
    assert (protocol, rest[0]) == ("MQTT", 4)
    flags, (client_id, rest) = rest[1], _text(rest[4:])
    will, username, password = None, None, None
    if flags & 0x04:
        topic, rest = _text(rest)
        payload, rest = _text(rest)
        will = topic, payload, bool(flags & _WILL_RETAIN)
    if flags & 0x80:
        username, rest = _text(rest)
    if flags & 0x40:
        password, rest = _text(rest)
    assert rest == b""
    return Login(client_id, username, password, will)
