"""ZMQ hints from a publisher of the test's own: delivery, gaps, repetitions, strangers, silence and reconnection."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import zmq
import zmq.asyncio

from solominer.errors import ConfigError
from solominer.node import zmq_hints
from solominer.node.zmq_hints import GRACE_SECS, Publisher, ZmqHints, ip_versions
from solominer.node.zmq_probe import listen
from tests.ports import has_ipv6

A_HEX, B_HEX = "0a" * 31 + "01", "0b" * 31 + "02"
A_LE, B_LE = bytes.fromhex(A_HEX)[::-1], bytes.fromhex(B_HEX)[::-1]


class Heard:
    """What a TipWatch would hear: hashes, and None for a kick."""

    def __init__(self) -> None:
        self.said: list[bytes | None] = []
        self.changed = asyncio.Event()

    def hinted(self, hash_le: bytes) -> None:
        self._note(hash_le)

    def kick(self) -> None:
        self._note(None)

    @property
    def hashes(self) -> list[bytes]:
        """The hashes alone."""
        return [each for each in self.said if each is not None]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; it is looked at whenever something is heard."""
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def _note(self, what: bytes | None) -> None:
        self.said.append(what)
        self.changed.set()


class Node:
    """A node's publisher of one or more topics at one address."""

    def __init__(self, address: str = "tcp://127.0.0.1:*") -> None:
        self.context = zmq.Context()
        self._open(address)
        self.address = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.numbers: dict[str, int] = {}

    def _open(self, address: str) -> None:
        self.socket = self.context.socket(zmq.PUB)
        self.socket.setsockopt(zmq.IPV6, "[" in address)
        self.socket.bind(address)

    def publish(self, topic: str, body: bytes, number: int | None = None) -> None:
        """Send one message; without `number` the next one of the topic."""
        if number is None:
            number = self.numbers.get(topic, 0)
            self.numbers[topic] = number + 1
        self.socket.send_multipart([topic.encode(), body, number.to_bytes(4, "little")])

    def restart(self) -> None:
        """Close and bind again, numbers from 0, as a node does that is restarted."""
        self.close_socket()
        self._open(self.address)
        self.numbers.clear()

    def close_socket(self) -> None:
        """Fall away."""
        self.socket.close(linger=0)


@pytest.fixture
def node() -> Iterator[Node]:
    """A publisher on loopback."""
    publisher = Node()
    yield publisher
    publisher.context.destroy(linger=0)


@pytest.fixture
def heard() -> Heard:
    """A listener."""
    return Heard()


@pytest.fixture
async def hints(node: Node, heard: Heard) -> AsyncIterator[ZmqHints]:
    """Hints of both topics of the node, connected."""
    subscribed = ZmqHints("alpha", node.address, node.address, heard)
    task = asyncio.create_task(subscribed.run())
    await heard.until(lambda: subscribed.state == "live")
    await _subscribed(node, heard, subscribed)
    yield subscribed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _subscribed(node: Node, heard: Heard, hints: ZmqHints) -> None:
    """The handshake comes before the subscription: send until both arrive, up to the last one, and forget it."""
    for publisher, body in zip(hints.publishers, (bytes(32), bytes(32) + b"D"), strict=True):
        before = len(heard.said)
        async with asyncio.timeout(20):
            while len(heard.said) == before:
                node.publish(publisher.topic, body)
                await asyncio.sleep(0.005)
            while publisher._expected != node.numbers[publisher.topic]:
                await asyncio.sleep(0.001)
    heard.said.clear()


async def test_a_block_is_heard_in_internal_order(node: Node, heard: Heard, hints: ZmqHints) -> None:
    """How fast is measured by scripts/bench_latency."""
    for count in range(50):
        node.publish("hashblock", bytes.fromhex(A_HEX))
        await heard.until(lambda count=count: len(heard.said) > count)  # type: ignore[misc]
    assert heard.said == [A_LE] * 50


async def test_a_gap_a_repetition_and_a_restart_ask_for_the_tip(
    node: Node, heard: Heard, hints: ZmqHints, caplog: pytest.LogCaptureFixture
) -> None:
    number = node.numbers["hashblock"]
    for wrong in (number + 3, number + 3, 0):
        heard.said.clear()
        node.publish("hashblock", bytes.fromhex(A_HEX), wrong)
        await heard.until(lambda: A_LE in heard.said)
        assert heard.said == [None, A_LE]
    assert f"got message {number + 3}, expected {number}" in caplog.text


async def test_numbers_wrap_at_32_bits() -> None:
    heard = Heard()
    publisher = Publisher("alpha", "hashblock", "tcp://127.0.0.1:1", heard, lambda: None)
    for number in (0xFFFFFFFF, 0):
        publisher.take([b"hashblock", bytes(32), number.to_bytes(4, "little")])
    assert heard.said == [bytes(32), bytes(32)]


async def test_only_a_disconnected_block_is_news_where_hashblock_tells_the_rest(
    node: Node, heard: Heard, hints: ZmqHints
) -> None:
    for body in (b"A" + bytes(8), b"R" + bytes(8), b"C", b"D"):
        node.publish("sequence", bytes.fromhex(A_HEX) + body)
    node.publish("sequence", bytes.fromhex(A_HEX) + b"D")
    await heard.until(lambda: len(heard.said) == 2)
    assert heard.said == [None, None]


async def test_sequence_alone_tells_of_connected_blocks_too(node: Node, heard: Heard) -> None:
    publisher = ZmqHints("alpha", None, node.address, heard).publishers[0]
    for number, label in enumerate((b"C", b"D", b"A" + bytes(8))):
        publisher.take([b"sequence", bytes(32) + label, number.to_bytes(4, "little")])
    assert heard.said == [None, None]


@pytest.mark.parametrize(
    "message",
    [
        [b"hashblock", bytes(32)],
        [b"hashtx", bytes(32), bytes(4)],
        [b"hashblock", bytes(31), bytes(4)],
        [b"hashblock", bytes(32), bytes(3)],
        [],
    ],
)
async def test_messages_of_another_form_are_ignored_and_told_once(
    message: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    publisher = Publisher("alpha", "hashblock", "tcp://127.0.0.1:1", heard, lambda: None)
    publisher.take(message)
    publisher.take(message)
    assert heard.hashes == []
    assert caplog.text.count("malformed messages") == 1


async def test_a_sequence_message_without_a_label_is_ignored() -> None:
    heard = Heard()
    publisher = Publisher("alpha", "sequence", "tcp://127.0.0.1:1", heard, lambda: None)
    publisher.take([b"sequence", bytes(32), bytes(4)])
    assert heard.said == [None]


async def test_a_lost_connection_shows_and_comes_back(
    node: Node, heard: Heard, hints: ZmqHints, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "solominer.node.zmq")
    node.close_socket()
    await heard.until(lambda: hints.state == "silent")
    assert "disconnected from" in caplog.text
    node._open(node.address)
    await heard.until(lambda: hints.state == "live")
    assert None in heard.said, "a poll is asked for: what was published meanwhile is lost"


async def test_a_tip_that_only_the_poll_saw_is_silence(
    node: Node, heard: Heard, hints: ZmqHints, caplog: pytest.LogCaptureFixture
) -> None:
    hints.poll_was_first(100.0)
    hints.check_silence(100.0 + GRACE_SECS / 2)
    assert hints.state == "live"
    hints.check_silence(100.0 + GRACE_SECS)
    assert hints.state == "silent"
    assert "is silent: only polling found a new tip" in caplog.text
    await heard.until(lambda: all(not each._reopen.is_set() and each.connected for each in hints.publishers))
    assert hints.state == "silent", "a new connection proves nothing; a message does"
    await _subscribed(node, heard, hints)
    assert hints.state == "live"


async def test_a_late_hint_is_no_silence(node: Node, heard: Heard, hints: ZmqHints) -> None:
    hints.poll_was_first(100.0)
    node.publish("hashblock", bytes.fromhex(A_HEX))
    await heard.until(lambda: bool(heard.said))
    hints.check_silence(200.0)
    assert hints.state == "live"


async def test_nothing_configured_is_off(heard: Heard) -> None:
    hints = ZmqHints("alpha", None, None, heard)
    await hints.run()
    hints.poll_was_first(0.0)
    hints.check_silence(100.0)
    assert hints.state == "off"


@pytest.mark.parametrize("address", ["nonsense", "tcp://nonsense", "tcp://127.0.0.1:port"])
async def test_an_address_that_is_none_is_said_at_once(heard: Heard, address: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await ZmqHints("alpha", address, None, heard).run()
    assert caught.group_contains(ConfigError, match=r"zmq\.hashblock of node alpha")


async def test_without_a_free_file_descriptor_a_socket_is_asked_for_again(
    node: Node, heard: Heard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It once ended the daemon."""
    monkeypatch.setattr(zmq_hints, "_RETRY_SECS", 0.01)
    get_monitor = zmq.asyncio.Socket.get_monitor_socket
    failures = 3

    def failing(socket: zmq.asyncio.Socket, events: int) -> object:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise zmq.ZMQError(errno.EMFILE)
        return get_monitor(socket, events)

    monkeypatch.setattr(zmq.asyncio.Socket, "get_monitor_socket", failing)
    hints = ZmqHints("alpha", node.address, None, heard)
    task = asyncio.create_task(hints.run())
    await heard.until(lambda: hints.state == "live")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert caplog.text.count("no socket: Too many open files") == 1


@pytest.fixture
def ipv6_node() -> Iterator[Node]:
    """A publisher at IPv6's loopback alone."""
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    node = Node("tcp://[::1]:*")
    yield node
    node.context.destroy(linger=0)


def _addresses_of(node: Node) -> list[str]:
    """By number, and by a name where one leads there."""
    port = node.address.rpartition(":")[2]
    names = ["localhost", "ip6-localhost", socket.gethostname()]
    leading = [name for name in names if any(at[4][0] == "::1" for at in _looked_up(name))]
    return [f"tcp://[::1]:{port}", *(f"tcp://{name}:{port}" for name in leading[:1])]


def _looked_up(name: str) -> list[Any]:
    try:
        return list(socket.getaddrinfo(name, None))
    except OSError:
        return []


async def test_a_publisher_at_an_ipv6_address_is_heard(ipv6_node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq_hints, "_NAME_SECS", 0.3)
    for address in _addresses_of(ipv6_node):
        assert listen(address, "hashblock", connect_secs=20, listen_secs=0).connected, address
        heard = Heard()
        hints = ZmqHints("n", address, None, heard)
        task = asyncio.create_task(hints.run())
        await heard.until(lambda hints=hints: hints.state == "live")  # type: ignore[misc]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("address", "versions"),
    [
        ("tcp://127.0.0.1:1", (4,)),
        ("tcp://[::1]:1", (6,)),
        ("tcp://[fe80::1%eth0]:1", (6,)),
        ("tcp://[::ffff:127.0.0.1]:1", (6,)),
        ("tcp://node.lan:1", (4, 6)),
        ("ipc:///run/x", (4,)),
    ],
)
def test_versions_of_ip_at_which_an_address_is_tried(address: str, versions: tuple[int, ...]) -> None:
    assert ip_versions(address) == versions
