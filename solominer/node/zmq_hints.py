"""Hints of new blocks over ZMQ: the node's `hashblock` and `sequence` publishers (doc/zmq.md of Bitcoin Core).

A message has three parts: topic, body, and a sequence number per topic (4 bytes, little-endian), which reveals lost
messages. Hashes are in RPC byte order. ZMQ reconnects without notice, loses what was published meanwhile, and does not
report an address without a publisher: connections are therefore monitored, and a tip that only polling has found shows
that messages are missing.
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
"""Maximum number of queued messages; `sequence` also has a message for every transaction."""

GRACE_SECS = 2.0
"""Maximum delay of ZMQ after a poll that found a new tip, before it counts as silent."""

_HASH_BYTES = 32
_NAME_SECS = 3.0
_RETRY_SECS = 5.0
_BURST = 64
_MOST_PUBLISHERS = 1000


def ip_versions(address: str) -> tuple[int, ...]:
    """IP versions to try for an address, likeliest first; ZMQ uses one at a time (option ZMQ_IPV6).

    Without the option it resolves a host name to IPv4 only; with it, IPv6 is preferred.
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
    """One topic at one address. `on_block` is called for each connected or disconnected block.

    `labels` are the relevant labels of `sequence`. C (block connected) is not needed with `hashblock`, which also has
    one message for many blocks.
    """

    def __init__(
        self, node: str, topic: str, address: str, hints: Hints, on_block: Callable[[], None], labels: bytes = b"CD"
    ) -> None:
        self.topic, self.address, self.labels = topic, address, labels
        self.connected = False
        self._node, self._hints, self._on_block = node, hints, on_block
        self._expected: int | None = None
        self._malformed = 0
        self._reopen = asyncio.Event()
        self._families = ip_versions(address)

    def reopen(self) -> None:
        """Close the socket and open another."""
        self._reopen.set()

    async def run(self, context: zmq.asyncio.Context) -> None:
        """Receive until cancelled. Raises ConfigError for an invalid address."""
        while True:
            socket, monitor = await self._opened(context)
            socket.setsockopt(zmq.IPV6, self._families[0] == 6)
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

    async def _opened(self, context: zmq.asyncio.Context) -> tuple[zmq.asyncio.Socket, zmq.asyncio.Socket]:
        """A socket that is not connected yet, to see all events, and its monitor; retried until there are both."""
        told = False
        while True:
            socket = None
            try:
                socket = _subscriber(context, self.topic)
                return socket, socket.get_monitor_socket(_MONITORED)
            except zmq.ZMQError as error:
                if socket is not None:
                    socket.close(linger=0)
                if not told:
                    _log.warning(
                        "ZMQ %s of node %s: no socket: %s; retrying, polling continues",
                        self.topic, self._node, error.strerror,
                    )  # fmt: skip
                told = True
            await asyncio.sleep(_RETRY_SECS)

    def take(self, message: Sequence[bytes]) -> None:
        """Validate one message and its sequence number, and pass it on."""
        if len(message) != 3 or message[0] != self.topic.encode() or len(message[2]) != 4:
            self._malformed_message()
            return
        body = message[1]
        if len(body) != _HASH_BYTES if self.topic == "hashblock" else len(body) <= _HASH_BYTES:
            self._malformed_message()
            return
        self._check_number(int.from_bytes(message[2], "little"))
        if self.topic == "hashblock":
            self._on_block()
            self._hints.hinted(body[::-1])
        elif body[_HASH_BYTES] in self.labels:  # the labels A and R are of transactions
            self._on_block()
            self._hints.kick()

    def _connect(self, socket: zmq.asyncio.Socket) -> None:
        try:
            socket.connect(self.address)
        except zmq.ZMQError as error:
            raise ConfigError(
                f"zmq.{self.topic} of node {self._node} is not a valid address: {self.address!r}",
                "write it as in bitcoin.conf, for example tcp://127.0.0.1:28332",
            ) from error

    async def _until_reopened(self) -> None:
        if len(self._families) > 1:  # a host name: if one IP version does not connect, try the other
            with suppress(TimeoutError):
                async with asyncio.timeout(_NAME_SECS):
                    await self._reopen.wait()
            if not self.connected:
                return
        await self._reopen.wait()

    def _check_number(self, number: int) -> None:
        expected, self._expected = self._expected, (number + 1) & 0xFFFFFFFF
        if expected is None or number == expected:
            return
        # A restarted node counts from 0, and the network may repeat a message: poll in any case.
        _log.warning(
            "ZMQ %s of node %s: got message %d, expected %d; polling",
            self.topic, self._node, number, expected,
        )  # fmt: skip
        self._hints.kick()

    def _malformed_message(self) -> None:
        self._malformed += 1
        if self._malformed == 1:
            _log.warning(
                "ZMQ %s at %s: ignoring malformed messages; check that this is the %s publisher of node %s",
                self.topic, self.address, self.topic, self._node,
            )  # fmt: skip
        self._hints.kick()

    async def _receive(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            for _ in range(_BURST):
                self.take(await socket.recv_multipart())
            await asyncio.sleep(0)  # queued messages are received without yielding; let other tasks run

    async def _follow_connection(self, monitor: zmq.asyncio.Socket) -> None:
        while True:
            event = (await recv_monitor_message(monitor))["event"]
            connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if connected == self.connected:
                continue
            self.connected = connected
            if connected:
                _log.info("ZMQ %s of node %s: connected to %s", self.topic, self._node, self.address)
            else:
                _log.warning(
                    "ZMQ %s of node %s: disconnected from %s; reconnecting, polling continues",
                    self.topic, self._node, self.address,
                )  # fmt: skip
            self._hints.kick()  # messages published while disconnected are lost


class ZmqHints:
    """All publishers of one node: `hashblock` and `sequence` addresses, or None if not configured."""

    def __init__(self, node: str, hashblock: str | None, sequence: str | None, hints: Hints) -> None:
        wanted = (("hashblock", hashblock), ("sequence", sequence))
        labels = b"D" if hashblock else b"CD"
        self._node = node
        self._behind_since: float | None = None
        self._missed = False
        # One socket per topic, even at the same address: blocks must not wait for transactions.
        self.publishers = [Publisher(node, topic, at, hints, self._on_block, labels) for topic, at in wanted if at]

    @property
    def state(self) -> str:
        """`off` (not configured), `live`, or `silent` (not connected, or has missed a tip)."""
        if not self.publishers:
            return "off"
        return "live" if all(each.connected for each in self.publishers) and not self._missed else "silent"

    async def run(self) -> None:
        """Receive until cancelled; returns at once if nothing is configured."""
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
        """A poll found a new tip before ZMQ; `now` is monotonic seconds."""
        if self.publishers and self._behind_since is None:
            self._behind_since = now

    def check_silence(self, now: float) -> None:
        """Reopen the sockets if ZMQ has missed a tip that a poll found; called at each poll."""
        if self._behind_since is None or now - self._behind_since < GRACE_SECS:
            return
        self._behind_since = None
        if not self._missed:
            _log.warning(
                "ZMQ of node %s is silent: only polling found a new tip; reopening the sockets, polling continues. "
                "Check that zmqpubhashblock and zmqpubsequence in bitcoin.conf match the configured addresses",
                self._node,
            )
        self._missed = True
        for publisher in self.publishers:
            publisher.reopen()

    def _on_block(self) -> None:
        if self._missed:
            _log.info("ZMQ of node %s works again", self._node)
        self._missed = False
        self._behind_since = None


def published_by(client: RpcClient) -> dict[str, list[str]]:
    """ZMQ addresses that the node reports, by topic (getzmqnotifications). Raises NodeError."""
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
    with suppress(zmq.ZMQError):  # heartbeats detect a dead peer
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10_000)
    socket.setsockopt_string(zmq.SUBSCRIBE, topic)
    return socket
