"""A V2 miner at the other end of a session, without a network."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

from solominer.chain.hashes import hash_to_int
from solominer.chain.header import Header
from solominer.engines.stratum.events import BlockAccepted, Event, Output
from solominer.engines.stratum.shared import Shared
from solominer.engines.stratum.v2 import curve
from solominer.engines.stratum.v2.client import ClientChannel, HeaderWork, V2Client
from solominer.engines.stratum.v2.frames import Packed, head_of, seal
from solominer.engines.stratum.v2.identity import Identity
from solominer.engines.stratum.v2.messages import (
    Message,
    OpenExtendedMiningChannel,
    OpenStandardMiningChannel,
    SetupConnection,
)
from solominer.engines.stratum.v2.noise import Cipher
from solominer.engines.stratum.v2.session import V2Session
from solominer.engines.stratum.work import Work

AUTHORITY = bytes(31) + b"\x07"
ANY_TARGET = b"\xff" * 32
NOW = 1_800_000_000.0
M = TypeVar("M")


def framed(cipher: Cipher, kind: int, payload: bytes, *, channel: bool) -> bytes:
    """The frame of any message."""
    return seal(cipher, [Packed(head_of(kind, channel=channel), payload)])


def setup(**changes: Any) -> SetupConnection:
    """What a Bitaxe might say first."""
    values: dict[str, Any] = {
        "protocol": 0,
        "min_version": 2,
        "max_version": 2,
        "flags": 1,
        "endpoint_host": "127.0.0.1",
        "endpoint_port": 3333,
        "vendor": "bitaxe",
        "hardware_version": "BM1370",
        "firmware": "v2.9.0",
        "device_id": "",
    }
    return SetupConnection(**(values | changes))


def standard(request: int = 1, user: str = "rig.1", rate: float = 0.0, target: bytes = ANY_TARGET) -> Message:
    """A request for a standard channel."""
    return OpenStandardMiningChannel(request, user, rate, target)


def extended(
    request: int = 1, user: str = "rig.1", rate: float = 0.0, target: bytes = ANY_TARGET, size: int = 2
) -> Message:
    """A request for an extended channel."""
    return OpenExtendedMiningChannel(request, user, rate, target, size)


def solve(
    work: HeaderWork, target: int | None = None, *, above: int = -1, bits: int = 0, extranonce: bytes = b""
) -> Header:
    """A header of the work whose hash is at most `target` and above `above`, by trying."""
    extranonce = extranonce or bytes(work.extranonce_size or 0)
    begun = work.header(0, extranonce, bits)
    for nonce in itertools.count():
        header = Header(begun.version, begun.prevhash_le, begun.merkle_root_le, begun.ntime, begun.nbits, nonce)
        if above < hash_to_int(header.hash_le()) <= (work.target if target is None else target):
            return header
    raise AssertionError


class Miner:
    """Shakes hands with a session, and reads what it says."""

    def __init__(self, shared: Shared, now: float = 0.0) -> None:
        self.shared, self.now = shared, now
        self.session = V2Session(shared, Identity(AUTHORITY, lambda: NOW), now)
        self.client = V2Client(curve.public_x(AUTHORITY), lambda: NOW)
        self.messages: list[Message] = []
        self.events: list[Event] = []
        self.closed = ""
        self.take(self.session.receive(self.client.act1, now))

    def take(self, output: Output) -> list[Message]:
        """Read what the server sent; each block is on disk at once."""
        self.events += output.events
        self.closed = output.close or self.closed
        fresh = self.client.receive(output.data)
        for event in output.events:
            if isinstance(event, BlockAccepted):
                fresh += self.client.receive(self.session.block_answer(event.id_json, None))
        self.messages += fresh
        return fresh

    def say(self, *messages: Message) -> list[Message]:
        """Messages in one packet; what came back."""
        return self.take(self.session.receive(self.client.sealed(*messages), self.now))

    def open(self, *asked: Message, **about: Any) -> list[Message]:
        """Set the connection up and open channels."""
        return self.say(setup(**about), *(asked or (standard(),)))

    def publish(self, work: Work) -> list[Message]:
        """New work for this miner."""
        self.shared.board.publish(work, self.now)
        return self.take(self.session.work_changed(self.now))

    def tick(self, secs: float) -> list[Message]:
        """Time passes."""
        self.now += secs
        return self.take(self.session.tick(self.now))

    def channel(self, number: int = 1) -> ClientChannel:
        """An open channel."""
        return self.client.channels[number]

    def work(self, number: int = 1) -> HeaderWork:
        """What a channel is to hash now."""
        work = self.channel(number).work
        assert work is not None
        return work

    def hand_in(self, header: Header, number: int = 1, sequence: int = 0, extranonce: bytes = b"") -> Message:
        """Submit a share of the present work; its answer."""
        work = self.work(number)
        extranonce = extranonce or bytes(work.extranonce_size or 0)
        return self.say(work.share(sequence, header, extranonce))[0]

    def of(self, kind: type[M]) -> list[M]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]
