"""Hints of new blocks over ZMQ: the node's `hashblock` and `sequence` publishers (doc/zmq.md of Bitcoin Core).

A message has three parts: topic, body, and a sequence number (4 bytes, little-endian) that counts per topic, so that
a gap shows. Hashes come in the byte order of RPC. ZMQ reconnects by itself and says nothing when it does, loses what
was published meanwhile, and keeps silent about an address where nobody ever publishes: connections are therefore
watched, and a tip that only the poll has seen counts as a proof of silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Protocol

import zmq
import zmq.asyncio
from zmq.utils.monitor import recv_monitor_message

from solominer.errors import ConfigError
from solominer.node.rpc import RpcClient

_log = logging.getLogger("solominer.node.zmq")

HIGH_WATER_MARK = 100_000
"""Messages kept for us on either side; `sequence` also tells of every transaction, which a new mempool has many of."""

GRACE_SECS = 2.0
"""How long ZMQ may lag behind a poll that found a new tip before it counts as silent."""

_HASH_BYTES = 32
_NAME_SECS = 3.0
_BURST = 64
_MOST_PUBLISHERS = 1000


def ip_versions(address: str) -> tuple[int, ...]:
    """The versions of IP at which an address may answer, likeliest first; ZMQ uses one at a time (ZMQ_IPV6).

    It looks up a name in one version alone where that option is off, and prefers the other where it is on.
    """
    host = address.removeprefix("tcp://").rpartition(":")[0]
    if host.startswith("["):
        return (6,)
    try:
        IPv4Address(host)
    except ValueError:
        return (4, 6) if address.startswith("tcp://") else (4,)
    return (4,)


class Hints(Protocol):
    """The receiver of the hints (TipWatch)."""

    def hinted(self, hash_le: bytes) -> None:
        """A new best block."""

    def kick(self) -> None:
        """Poll now."""


class Publisher:
    """One topic at one address. `heard` is called when it tells of a new tip, or that the tip is gone.

    `telling` are the labels of `sequence` that count: C (connected) need not where `hashblock` says the same, and
    does so once for many blocks.
    """

    def __init__(
        self, node: str, topic: str, address: str, hints: Hints, heard: Callable[[], None], telling: bytes = b"CD"
    ) -> None:
        self.topic, self.address, self.telling = topic, address, telling
        self.connected = False
        self._node, self._hints, self._heard = node, hints, heard
        self._expected: int | None = None
        self._malformed = 0
        self._reopen = asyncio.Event()
        self._families = ip_versions(address)

    def reopen(self) -> None:
        """Close the socket and open another."""
        self._reopen.set()

    async def run(self, context: zmq.asyncio.Context) -> None:
        """Listen for ever. Raises ConfigError for an address that ZMQ cannot make sense of."""
        while True:
            socket = _subscriber(context, self.topic)
            socket.setsockopt(zmq.IPV6, self._families[0] == 6)
            monitor = socket.get_monitor_socket(_MONITORED)  # before connecting, to miss nothing of it
            tasks: list[asyncio.Future[None]] = []
            try:
                self._connect(socket)
                tasks += [
                    asyncio.ensure_future(task)
                    for task in (self._receive(socket), self._follow_connection(monitor), self._until_reopened())
                ]
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self.connected = False
                socket.disable_monitor()
                monitor.close(linger=0)
                socket.close(linger=0)
            self._reopen.clear()
            self._families = self._families[::-1]

    def take(self, message: Sequence[bytes]) -> None:
        """One message as it came in: check its form and its number, and pass on what it says."""
        if len(message) != 3 or message[0] != self.topic.encode() or len(message[2]) != 4:
            self._malformed_message()
            return
        body = message[1]
        if len(body) != _HASH_BYTES if self.topic == "hashblock" else len(body) <= _HASH_BYTES:
            self._malformed_message()
            return
        self._check_number(int.from_bytes(message[2], "little"))
        if self.topic == "hashblock":
            self._heard()
            self._hints.hinted(body[::-1])
        elif body[_HASH_BYTES] in self.telling:  # the labels A and R are about transactions
            self._heard()
            self._hints.kick()

    def _connect(self, socket: zmq.asyncio.Socket) -> None:
        try:
            socket.connect(self.address)
        except zmq.ZMQError as error:
            raise ConfigError(
                f"zmq.{self.topic} of node {self._node} is {self.address!r}, which is no address",
                "write it as in bitcoin.conf, for example tcp://127.0.0.1:28332",
            ) from error

    async def _until_reopened(self) -> None:
        if len(self._families) > 1:  # a name: if it is silent at one version of IP, the other one is tried
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reopen.wait(), _NAME_SECS)
            if not self.connected:
                return
        await self._reopen.wait()

    def _check_number(self, number: int) -> None:
        expected, self._expected = self._expected, (number + 1) & 0xFFFFFFFF
        if expected is None or number == expected:
            return
        # A node that was restarted counts from 0 again, a network that stutters may repeat one: all are reasons to ask.
        _log.warning(
            "ZMQ %s of node %s: message %d came where %d was next; asking for the tip",
            self.topic, self._node, number, expected,
        )  # fmt: skip
        self._hints.kick()

    def _malformed_message(self) -> None:
        self._malformed += 1
        if self._malformed == 1:
            _log.warning(
                "ZMQ %s at %s sends messages of another form; is it the %s publisher of node %s? They are ignored",
                self.topic, self.address, self.topic, self._node,
            )  # fmt: skip
        self._hints.kick()

    async def _receive(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            for _ in range(_BURST):
                self.take(await socket.recv_multipart())
            await asyncio.sleep(0)  # messages that wait are received without a pause; others want to run too

    async def _follow_connection(self, monitor: zmq.asyncio.Socket) -> None:
        while True:
            event = (await recv_monitor_message(monitor))["event"]
            connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if connected == self.connected:
                continue
            self.connected = connected
            if connected:
                _log.info("ZMQ %s of node %s is connected at %s", self.topic, self._node, self.address)
            else:
                _log.warning(
                    "ZMQ %s of node %s at %s is lost; the poll goes on, ZMQ reconnects by itself",
                    self.topic, self._node, self.address,
                )  # fmt: skip
            self._hints.kick()  # what was published while nobody listened is lost


class ZmqHints:
    """All publishers of one node: `hashblock` and `sequence` addresses, None where not configured."""

    def __init__(self, node: str, hashblock: str | None, sequence: str | None, hints: Hints) -> None:
        wanted = (("hashblock", hashblock), ("sequence", sequence))
        telling = b"D" if hashblock else b"CD"
        self._node = node
        self._unheard_since: float | None = None
        self._missed = False
        # A socket for each topic, even at one address: blocks never queue behind transactions.
        self.publishers = [Publisher(node, topic, at, hints, self._on_block, telling) for topic, at in wanted if at]

    @property
    def state(self) -> str:
        """`off` where none is configured, `live`, or `silent`: not connected, or known to have missed a tip."""
        if not self.publishers:
            return "off"
        return "live" if all(each.connected for each in self.publishers) and not self._missed else "silent"

    async def run(self) -> None:
        """Listen for ever; returns at once where nothing is configured."""
        if not self.publishers:
            return
        context = zmq.asyncio.Context()
        try:
            async with asyncio.TaskGroup() as group:
                for publisher in self.publishers:
                    group.create_task(publisher.run(context))
        finally:
            context.destroy(linger=0)

    def poll_was_first(self, now: float) -> None:
        """The poll saw a new tip before ZMQ named it; `now` is any steady clock in seconds."""
        if self.publishers and self._unheard_since is None:
            self._unheard_since = now

    def check_silence(self, now: float) -> None:
        """Reopen the sockets if a tip that the poll saw was never named; called at each poll."""
        if self._unheard_since is None or now - self._unheard_since < GRACE_SECS:
            return
        self._unheard_since = None
        if not self._missed:
            _log.warning(
                "ZMQ of node %s is silent: polling alone found a new tip; it goes on, and the sockets are reopened. "
                "Check that zmqpubhashblock and zmqpubsequence in bitcoin.conf are the configured addresses",
                self._node,
            )
        self._missed = True
        for publisher in self.publishers:
            publisher.reopen()

    def _on_block(self) -> None:
        if self._missed:
            _log.info("ZMQ of node %s is back", self._node)
        self._missed = False
        self._unheard_since = None


def published_by(client: RpcClient) -> dict[str, list[str]]:
    """Where the node says that it publishes: addresses by topic. Raises NodeError."""
    found: dict[str, list[str]] = {}
    for each in client.ask("getzmqnotifications").items(_MOST_PUBLISHERS):
        found.setdefault(each["type"].text().removeprefix("pub"), []).append(each["address"].text())
    return found


_MONITORED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


def _subscriber(context: zmq.asyncio.Context, topic: str) -> zmq.asyncio.Socket:
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2_000)
    with suppress(zmq.ZMQError):  # a peer that is gone without a word shows by its heartbeats
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10_000)
    socket.setsockopt_string(zmq.SUBSCRIBE, topic)
    return socket
