"""The server itself on real sockets, with a clock that the test moves: who is dropped, when, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from solominer.engines.stratum import connection as connection_module
from solominer.engines.stratum import server as server_module
from solominer.engines.stratum.addresses import listens_on
from solominer.engines.stratum.channel import (
    AddressAnswer,
    AddressQuestion,
    FromProcess,
    ListenerSetup,
    News,
    Publish,
    Report,
    ServerLimits,
    Setup,
)
from solominer.engines.stratum.connection import Connection
from solominer.engines.stratum.doorman import FAILURES
from solominer.engines.stratum.events import Authorized, Departed, Tally, Worker
from solominer.engines.stratum.logins import MAX_REFUSED_LOGINS, MAX_USERNAMES_CHARS
from solominer.engines.stratum.server import ASK_AT_ONCE, SCRIPTS_KEPT, SESSION_TICK_SECS, SPARE_FILES, Server
from solominer.engines.stratum.shared import PayTo
from solominer.errors import EngineError
from tests.engines.stratum.builders import P2WPKH, Client, line, make_shared, make_work
from tests.engines.stratum.pem import make_certificate

ANY = ListenerSetup("127.0.0.1", 0, fractional=True)


class Bench:
    """A server in this process; `now` is its clock and `sent` what the daemon would read."""

    def __init__(self, listener: ListenerSetup, limits: ServerLimits) -> None:
        self.now = 1000.0
        self.sent: list[FromProcess] = []
        setup = Setup(1, [listener], limits, 0, 1 << 24, 1)
        self.server = Server(setup, self.sent.append, lambda: self.now)
        self.url = ""
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self, said: str | bytes = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that says this first."""
        host, _, port = self.url.partition("://")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self.writers.append(writer)
        writer.write(said if isinstance(said, bytes) else said.encode())
        return reader, writer

    async def miner(self, user: str = "rig") -> asyncio.StreamReader:
        """A miner that is logged in and has its first job."""
        reader, _ = await self.connect(
            f"{line(1, 'mining.subscribe', 'x/1')}\n{line(2, 'mining.authorize', user, 'x')}\n"
        )
        while b"mining.notify" not in await reader.readline():
            pass
        return reader

    def pass_time(self, secs: float) -> None:
        """So much later, every connection is looked at."""
        self.now += secs
        for _ in range(SESSION_TICK_SECS):
            self.server.tick()

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.sent if isinstance(each, kind)]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.005)

    @property
    def open(self) -> int:
        """Connections that the server holds."""
        self.server.report()
        count: int = self.of(Report)[-1].connections
        return count


@asynccontextmanager
async def serving(listener: ListenerSetup = ANY, limits: ServerLimits | None = None) -> AsyncIterator[Bench]:
    bench = Bench(listener, limits or ServerLimits())
    (bound,) = await bench.server.open()
    bench.url = bound.url
    bench.server.publish(Publish(make_work()))
    try:
        yield bench
    finally:
        await bench.server.close()
        for writer in bench.writers:
            writer.close()
        with suppress(TimeoutError):
            await bench.until(lambda: not bench.server._connections)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes the connection."""
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            return await reader.read()
    return b""


async def test_who_sends_its_login_byte_by_byte_is_dropped_in_time() -> None:
    """Slowloris: the deadline is for the login, not for the next byte. Its address is turned away for a while."""
    async with serving() as bench:
        slow = [await bench.connect("{") for _ in range(FAILURES)]
        await bench.until(lambda: bench.open == FAILURES)
        for _ in range(6):
            bench.pass_time(9.0)
            for _, writer in slow:
                writer.write(b'"')
        assert bench.open == FAILURES
        bench.pass_time(7.0)
        for reader, _ in slow:
            assert await rest_of(reader) == b""
        await bench.until(lambda: bench.open == 0)
        (banned,) = [each for each in bench.of(News) if each.kind == "miner_banned"]
        assert str(banned) == "127.0.0.1 is turned away for some minutes: no login within 60 s"
        reader, _ = await bench.connect()
        assert b"this address is turned away for" in await rest_of(reader)
        bench.pass_time(301.0)
        bench.server.publish(Publish(make_work(2)))
        await bench.miner()


async def test_nobody_is_banned_for_what_is_not_its_fault() -> None:
    """Whoever leaves, and whoever is sent away for lack of work."""
    async with serving(limits=ServerLimits(no_work_secs=1.0)) as bench:
        for _ in range(2 * FAILURES):
            _, writer = await bench.connect()
            writer.close()
        waiting = [await bench.connect() for _ in range(2 * FAILURES)]
        await bench.until(lambda: bench.open == 2 * FAILURES)
        bench.server.withdraw()
        bench.pass_time(5.0)
        for reader, _ in waiting:
            await rest_of(reader)
        await bench.until(lambda: bench.open == 0)
        bench.server.publish(Publish(make_work(2)))
        await bench.miner()
        assert not [each for each in bench.of(News) if each.kind == "miner_banned"]


@pytest.mark.parametrize("users", [(1, 1), (2, 1), (1, 2)])
async def test_an_address_with_a_miner_is_not_banned_however_many_names_it_has(users: tuple[int, int]) -> None:
    """Several logins in one packet are those of one connection; the first has left when the second comes."""
    async with serving(ListenerSetup("127.0.0.1", 0, pay_to="config", fractional=True)) as bench:
        work = make_work()
        bench.server.publish(Publish(replace(work, work_id=2, outputs=((P2WPKH, work.coinbase_value),))))
        for count in users:
            for writer in bench.writers:
                writer.close()
            await bench.until(lambda: not bench.open)
            logins = [line(number, "mining.authorize", f"rig.{number}", "x") + "\n" for number in range(count)]
            reader, _ = await bench.connect(f"{line(9, 'mining.subscribe', 'x/1')}\n{''.join(logins)}")
            await asyncio.wait_for(reader.readuntil(b'"method":"mining.notify"'), 20)
        for _ in range(FAILURES):
            stranger, _ = await bench.connect(b"\x16\x03\x01 nothing that is known\n" * 40)
            await rest_of(stranger)
        assert [each for each in bench.of(News) if each.kind == "miner_banned"] == []
        await bench.miner()


def test_a_worker_that_departed_is_no_longer_connected() -> None:
    """Unless another worker of the connection counts in the same tally."""
    sent: list[FromProcess] = []
    server = Server(Setup(1, [], ServerLimits(), 0, 1, 0), sent.append)
    one, other = (Worker("rig", tally) for tally in 2 * [Tally("rig", "x")])
    difficulty = SimpleNamespace(announced=1.0)
    session = SimpleNamespace(workers={"a": one, "b": other}, user_agent="x", difficulty=difficulty)
    connection: Any = Mock(session=session, address="127.0.0.1", logged_in=False)
    assert server._doorman.admit(connection.address, 0.0) == ""
    for worker in (one, other):
        server.event(connection, Authorized(worker))
        connection.logged_in = True
    for user, worker, connections in (("a", one, 1), ("b", other, 0)):
        del session.workers[user]
        server.event(connection, Departed(worker))
        server.report()
        assert isinstance(report := sent[-1], Report)
        assert [each.connections for each in report.miners] == [connections]


async def test_a_proxy_that_says_nothing_is_dropped() -> None:
    async with serving(ListenerSetup("127.0.0.1", 0, proxies=("127.0.0.1",))) as bench:
        silent, _ = await bench.connect()
        gone, writer = await bench.connect("PROXY ")
        await bench.until(lambda: len(bench.server._awaited) == 2)
        writer.close()
        await bench.until(lambda: len(bench.server._awaited) == 1)
        bench.pass_time(connection_module.PROXY_HEADER_SECS + 1)
        assert await rest_of(silent) == b""
        await bench.until(lambda: not bench.server._awaited)
        reader, _ = await bench.connect(
            b"PROXY TCP4 192.0.2.7 127.0.0.1 5 6\r\n" + line(1, "mining.ping").encode() + b"\n"
        )
        assert b"pong" in await reader.readline()
        assert not bench.server._awaited
        del gone


async def test_dead_connections_are_noticed() -> None:
    async with serving() as bench:
        await bench.miner()
        (held,) = bench.server._connections
        assert held._transport is not None
        sock = held._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 120_000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


class Stuck(asyncio.Transport):
    """A client that reads nothing: what is written stays."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1)})
        self.written = b""
        self.is_closed = self.is_aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        pass


async def test_a_client_that_does_not_read_is_bounded() -> None:
    async with serving() as bench:
        (listener,) = bench.server._listeners.values()

        def stuck() -> tuple[Connection, Stuck]:
            connection, transport = Connection(bench.server, listener), Stuck()
            connection.connection_made(transport)
            return connection, transport

        flooding, transport = stuck()
        ping = (line("i" * 200, "mining.ping") + "\n").encode() * 100
        while not transport.is_aborted:
            flooding.data_received(ping)
            assert len(transport.written) < connection_module.MAX_BUFFERED_BYTES + len(ping)
        slow, transport = stuck()
        slow.pause_writing()
        slow.tick(bench.now + 29.0)
        assert not transport.is_aborted
        slow.resume_writing()
        slow.tick(bench.now + 31.0)
        assert not transport.is_aborted
        slow.pause_writing()
        slow.tick(bench.now + 31.0)
        assert transport.is_aborted
        closing, transport = stuck()
        closing.close("a reason")  # what it is still to be sent goes nowhere
        closing.tick(bench.now + 31.0)
        assert transport.is_aborted
        assert closing.closed_for == "a reason"
        for each in (flooding, slow, closing):
            each.connection_lost(None)


async def test_the_node_is_asked_about_a_few_addresses_at_a_time() -> None:
    async with serving(ListenerSetup("127.0.0.1", 0, pay_to="miner")) as bench:
        users = [f"bcrt1q{number:030d}" for number in range(20)]
        readers = [(await bench.connect(line(1, "mining.authorize", user, "x") + "\n"))[0] for user in users]
        await bench.until(lambda: len(bench.server._asking) == 20)
        assert len(bench.of(AddressQuestion)) == ASK_AT_ONCE
        answered = 0
        while answered < 20:
            for question in bench.of(AddressQuestion)[answered:]:
                bench.server.address_answered(AddressAnswer(question.address, P2WPKH))
                answered += 1
                assert len(bench.of(AddressQuestion)) - answered <= ASK_AT_ONCE
        assert sorted(each.address for each in bench.of(AddressQuestion)) == users
        for reader in readers:
            assert json.loads(await reader.readline())["result"] is True


async def test_addresses_that_wait_for_the_node_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MOST_ASKED", 3)
    async with serving(ListenerSetup("127.0.0.1", 0, pay_to="miner", fractional=True)) as bench:
        answers = []
        for number in range(5):
            login = line(2, "mining.authorize", f"bcrt1q{number:030d}", "x")
            reader, writer = await bench.connect(f"{line(1, 'mining.subscribe', 'x/1')}\n{login}\n")
            await asyncio.wait_for(reader.readline(), 20)
            answers.append(reader)
            await bench.until(lambda number=number: len(bench.server._asking) == min(number + 1, 3))  # type: ignore[misc]
            if number < 3:
                writer.close()  # who asks does not wait for the answer
        for reader in answers[3:]:
            assert b"3 addresses wait for the node" in await asyncio.wait_for(reader.readline(), 20)
        bench.server.address_answered(AddressAnswer(f"bcrt1q{0:030d}", P2WPKH))
        assert len(bench.server._asking) == 2
        await bench.connect(line(1, "mining.authorize", f"bcrt1q{7:030d}", "x") + "\n")
        await bench.until(lambda: f"bcrt1q{7:030d}" in bench.server._asking)


async def test_addresses_that_were_confirmed_are_bounded() -> None:
    async with serving(ListenerSetup("127.0.0.1", 0, pay_to="miner")) as bench:
        for number in range(SCRIPTS_KEPT + 10):
            bench.server.address_answered(AddressAnswer(str(number), P2WPKH))
        assert len(bench.server._scripts) == SCRIPTS_KEPT
        assert str(SCRIPTS_KEPT) in bench.server._scripts


async def test_open_files_bound_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (SPARE_FILES + 2, 1 << 20))
    async with serving() as bench:
        for _ in range(2):
            await bench.miner()
        reader, _ = await bench.connect()
        assert b"at its limit of 2 connections" in await rest_of(reader)


async def test_a_listener_with_tls_and_clients_without(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "localhost")
    async with serving(ListenerSetup("127.0.0.1", 0, certificate=str(certificate), key=str(key))) as bench:
        for said in (line(1, "mining.subscribe", "x/1") + "\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03garbage" * 100):
            reader, _ = await bench.connect(said)
            assert b"mining" not in await rest_of(reader)
        assert bench.open == 0
        context = ssl.create_default_context(cafile=str(certificate))
        port = int(bench.url.rpartition(":")[2])
        for said, answer in ((line(1, "mining.ping") + "\n", b"pong"), ("GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            bench.writers.append(writer)
            writer.write(said.encode())
            assert answer in await reader.readline()


async def test_a_unix_socket_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    listener = ListenerSetup(path=str(path))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        assert [listens_on(path) for _ in range(3)] == [True] * 3, "also once its backlog is full"
        with pytest.raises(EngineError, match="in use"):
            await Bench(listener, ServerLimits()).server.open()
        assert other.getsockname() == str(path)
        assert path.is_socket()
    async with serving(listener):  # what is left behind is replaced
        assert path.is_socket()


# One connection


@pytest.mark.slow
def test_a_million_wrong_shares_from_one_client() -> None:
    """They are answered and counted, and cost nothing that stays; the next good share counts."""
    shared = make_shared(make_work(), lines_per_sec=1e9)
    client = Client(shared)
    client.login()
    params, _ = client.mine()
    wrong = (line(4, "mining.submit", "rig.1", "ffff", *params[1:]) + "\n").encode() * 1000
    for _ in range(1000):
        output = client.session.receive(wrong, 1.0)
        assert output.data.count(b"Invalid JobID") == 1000
        assert not output.close
        assert not output.events
    assert sum(client.session.workers["rig.1"].tally.rejected.values()) == 1_000_000
    assert client.submit(params)["result"] is True


def test_usernames_of_a_connection_are_bounded_together() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    for number in range(100):
        client.send(line(1, "mining.authorize", f"{number}" + "w" * 10_000, "x"))
    assert sum(map(len, client.session.workers)) < MAX_USERNAMES_CHARS + 16_384
    assert client.lines[-1]["error"][1] == "Too many workers on one connection"


def test_logins_that_are_refused_again_and_again_end_the_connection() -> None:
    client = Client(make_shared(make_work(), pay_to=PayTo.MINER))
    for number in range(MAX_REFUSED_LOGINS):
        assert not client.closed
        client.send(line(1, "mining.authorize", f"name{number}", "x"))
    assert client.closed == "32 logins that were refused"
