"""A V2 miner at a real socket. Blocking."""

from __future__ import annotations

import socket
import time
from typing import ClassVar, TypeVar

from solominer.chain.header import Header
from solominer.engines.stratum.v2.certificate import parse_key
from solominer.engines.stratum.v2.client import ClientChannel, HeaderWork, V2Client
from solominer.engines.stratum.v2.messages import Message, SetNewPrevHash, SubmitSharesError, SubmitSharesSuccess
from tests.engines.stratum.v2.miner import setup, standard

WAIT_SECS = 20.0
M = TypeVar("M")


class V2WireMiner:
    """Give `url` as the engine names it, stratum2+tcp://HOST:PORT/KEY; shakes hands at once. Raises OSError."""

    opened: ClassVar[list[V2WireMiner]] = []

    def __init__(self, url: str, key: bytes = b"") -> None:
        place, _, text = url.partition("//")[2].partition("/")
        host, _, port = place.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), WAIT_SECS)
        self.opened.append(self)
        self.client = V2Client(key or parse_key(text))
        self.messages: list[Message] = []
        self.sock.sendall(self.client.act1)
        while not self.client.is_secure:
            self.read()

    def read(self) -> None:
        """The next bytes. Raises EOFError at the end, DecodeError for what cannot be trusted."""
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError(f"closed after {self.messages[-2:]}")
        self.messages += self.client.receive(data)

    def say(self, *messages: Message) -> None:
        """Send them in one packet."""
        self.sock.sendall(self.client.sealed(*messages))

    def until(self, kind: type[M], start: int = 0) -> M:
        """Read until such a message came, among those from `start` on."""
        deadline = time.monotonic() + WAIT_SECS
        while True:
            for message in self.messages[start:]:
                if isinstance(message, kind):
                    return message
            assert time.monotonic() < deadline, f"no {kind.__name__} in {self.messages[-3:]}"
            self.read()

    def open(self, asked: Message | None = None) -> ClientChannel:
        """Set up, open a channel, and wait for its first job."""
        self.say(setup(), asked or standard())
        self.until(SetNewPrevHash)
        return next(iter(self.client.channels.values()))

    def hand_in(self, work: HeaderWork, header: Header, extranonce: bytes = b"") -> str:
        """Submit a share; "" if it is accepted, else why not."""
        start = len(self.messages)
        self.say(work.share(start, header, extranonce or bytes(work.extranonce_size or 0)))
        while True:
            for message in self.messages[start:]:
                if isinstance(message, SubmitSharesError):
                    return message.error_code
                if isinstance(message, SubmitSharesSuccess):
                    return ""
            self.read()

    def ended(self) -> bool:
        """Whether the server closes the connection."""
        try:
            while True:
                self.read()
        except (EOFError, ConnectionError):
            return True

    def close(self) -> None:
        """Leave."""
        self.sock.close()
