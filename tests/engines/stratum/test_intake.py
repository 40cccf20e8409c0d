"""Shares that arrive alone, checked together with those of other connections: each is answered as if it were alone."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from solominer.config.paths import default_cache_dir
from solominer.engines.stratum.batch import MAX_PACKETS, Batch
from solominer.engines.stratum.channel import FromProcess, ListenerSetup, Publish, ServerLimits, Setup
from solominer.engines.stratum.connection import Connection
from solominer.engines.stratum.events import BlockFound, Output
from solominer.engines.stratum.intake import SMALL_BYTES
from solominer.engines.stratum.plain_shares import Aimed
from solominer.engines.stratum.server import Server
from solominer.engines.stratum.session import Session
from solominer.engines.stratum.validate import load_validator
from solominer.engines.stratum.work import Work, job_id_of
from tests.engines.stratum.builders import EASY, P2WPKH, REGTEST_BITS, line, make_work

NTIME = f"{make_work().ntime:08x}"


class Wire(asyncio.Transport):
    """What one client is sent; no socket."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Where the client is."""
        return ("192.0.2.1", 1000)

    def write(self, data: Any) -> None:
        """Keep it."""
        self.sent += data

    def can_write_eof(self) -> bool:
        """As with TLS."""
        return False

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def abort(self) -> None:
        """Note it."""
        self.closed = True

    def get_write_buffer_size(self) -> int:
        """Nothing waits: the client reads all."""
        return 0

    def pause_reading(self) -> None:
        """Note it."""
        self.paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.paused = False


class Rig:
    """A server without sockets, and clients that are logged in and have handed in a first share."""

    def __init__(self, batch: Batch | None, clients: int, work: Work | None = None) -> None:
        self.told: list[FromProcess] = []
        listener = ListenerSetup(fractional=True)
        self.server = Server(Setup(1, [listener], ServerLimits(), 0, 1 << 24, 0x1000), self.told.append, lambda: 1.0)
        self.server.checker.use(batch)
        self.server.publish(Publish(work or self.work(1)))
        self._listener = self.server._listener(listener)
        self.wires = [Wire() for _ in range(clients)]
        self.connections = [self._log_in(number, wire) for number, wire in enumerate(self.wires)]

    @staticmethod
    def work(number: int, **changes: Any) -> Work:
        """Work on tip number so and so."""
        return make_work(number, number, outputs=((P2WPKH, 312_500_000),), **changes)

    def _log_in(self, number: int, wire: Wire) -> Connection:
        connection = Connection(self.server, self._listener)
        connection.connection_made(wire)
        login = line(1, "mining.subscribe"), line(2, "mining.authorize", f"rig.{number}", f"x={EASY:.20f}")
        connection.data_received("".join(f"{each}\n" for each in login).encode())
        self.job_id = job_id_of(self.server._board.current.work_id * (1 << 24) + 0x1000)  # type: ignore[union-attr]
        connection.data_received(self.share(number, 999_999, "first"))
        self.server.intake.drain()
        wire.sent = b""
        return connection

    def share(self, number: int, nonce: int, id_value: object = 7) -> bytes:
        """A submit of a client, as one line."""
        params = f"rig.{number}", self.job_id, "00" * 8, NTIME, f"{nonce:08x}"
        return line(id_value, "mining.submit", *params).encode() + b"\n"

    def tallies(self) -> list[tuple[object, ...]]:
        """What was counted, by client."""
        counted: list[tuple[object, ...]] = []
        for connection in self.connections:
            assert connection.session is not None
            (worker,) = connection.session.workers.values()
            taken = worker.tally.take()
            counted.append((taken.accepted, taken.rejected, taken.hashes, taken.best_hash))
        return counted


@pytest.fixture(scope="module")
def batch() -> Batch:
    validator = load_validator(default_cache_dir(), print)
    assert validator is not None
    return Batch(validator)


def is_held(rig: Rig, number: int) -> bool:
    """Whether a packet of this client waits for the end of the turn."""
    return rig.connections[number] in rig.server.intake._waiting


@pytest.mark.parametrize("seed", range(12))
async def test_all_connections_get_what_they_would_get_alone(seed: int, batch: Batch) -> None:
    choose = random.Random(seed)
    rigs = Rig(batch, 6), Rig(None, 6)
    rests = [b""] * 6
    held = 0
    for turn in range(60):
        if turn == 40:
            for rig in rigs:
                rig.server.publish(Publish(Rig.work(2)))
                await asyncio.sleep(0.01)
        for number in choose.sample(range(6), choose.randint(1, 6)):
            kinds = choose.choices(("share", "ping", "garbage", "other job"), (20, 1, 1, 1), k=choose.randint(1, 3))
            packet = rests[number]
            for kind in kinds:
                share = rigs[0].share(number, choose.randrange(40), choose.choice((4, "x", turn)))
                packet += {
                    "share": share,
                    "ping": b'{"id":9,"method":"mining.ping","params":[]}\n',
                    "garbage": b"{nothing\n",
                    "other job": share.replace(rigs[0].job_id.encode(), b"ff"),
                }[kind]
            cut = len(packet) - choose.choice((0, 0, 0, 0, 20))
            packet, rests[number] = packet[:cut], packet[cut:]
            for rig in rigs:
                rig.connections[number].data_received(packet)
            held += is_held(rigs[0], number)
        await asyncio.sleep(0)
    assert held > 100
    assert [wire.sent for wire in rigs[0].wires] == [wire.sent for wire in rigs[1].wires]
    assert rigs[0].tallies() == rigs[1].tallies()
    sent = b"".join(wire.sent for wire in rigs[0].wires)
    assert all(each in sent for each in (b'"result":true', b"Above target", b"Duplicate", b"Invalid JobID", b"Stale"))


async def test_packets_of_one_connection_in_one_turn_are_answered_in_order(batch: Batch) -> None:
    rig = Rig(batch, 2)
    for number in range(5):
        rig.connections[0].data_received(rig.share(0, number, number))
        rig.connections[1].data_received(rig.share(1, number, number))
    rig.connections[0].data_received(b'{"id":5,"method":"mining.ping","params":[]}\n')
    large = b"".join(rig.share(1, 100 + number, 5 + number) for number in range(20))
    assert len(large) > SMALL_BYTES
    rig.connections[1].data_received(large)
    assert not is_held(rig, 1)
    rig.connections[0].data_received(rig.share(0, 6, 6))
    await asyncio.sleep(0)
    for wire, count in zip(rig.wires, (7, 25), strict=True):
        assert [int(each.split(b",")[0].split(b":")[1]) for each in wire.sent.splitlines()] == list(range(count))


async def test_more_packets_than_a_batch_takes(batch: Batch) -> None:
    rig = Rig(batch, MAX_PACKETS + 20)
    for number, connection in enumerate(rig.connections):
        connection.data_received(rig.share(number, 5))
    await asyncio.sleep(0)
    assert all(wire.sent.count(b"\n") == 1 for wire in rig.wires)
    assert all(b'"result":true' in wire.sent or b"Above target" in wire.sent for wire in rig.wires)


async def test_a_share_that_came_before_the_new_tip_is_not_stale(batch: Batch) -> None:
    rig = Rig(batch, 1)
    good = next(nonce for nonce in range(100) if answered(rig, nonce))
    fresh = Rig(batch, 1)
    fresh.connections[0].data_received(fresh.share(0, good))
    assert is_held(fresh, 0)
    fresh.server.publish(Publish(Rig.work(2)))
    first, second = fresh.wires[0].sent.splitlines()
    assert first == b'{"id":7,"result":true,"error":null}'
    assert b"mining.notify" in second


def answered(rig: Rig, nonce: int) -> bool:
    """Whether a share with this nonce is accepted."""
    rig.wires[0].sent = b""
    rig.connections[0].data_received(rig.share(0, nonce))
    rig.server.intake.drain()
    return b'"result":true' in rig.wires[0].sent


async def test_a_block_of_a_connection_that_goes_in_the_same_turn_is_found(batch: Batch) -> None:
    rig = Rig(batch, 3, Rig.work(1, nbits=REGTEST_BITS))
    found = list[FromProcess]()
    for nonce in range(50):  # about every second hash is a block
        rig.told.clear()
        for number in range(3):
            rig.connections[number].data_received(rig.share(number, nonce))
        assert is_held(rig, 1)
        rig.connections[1].connection_lost(None)
        found += [each for each in rig.told if isinstance(each, BlockFound) and each.worker == "rig.1"]
        rig.connections[1] = rig._log_in(1, rig.wires[1])
    assert len(found) > 5


async def test_an_error_in_one_connection_ends_that_one_alone(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(batch, 3)
    took, errors = Session.took, list[dict[str, Any]]()

    def fail(session: Session, aimed: Aimed, taken: Any, now: float) -> Output:
        if session is rig.connections[1].session:
            raise RuntimeError("made up")
        return took(session, aimed, taken, now)

    monkeypatch.setattr(Session, "took", fail)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    for number, connection in enumerate(rig.connections):
        connection.data_received(rig.share(number, 3))
    await asyncio.sleep(0)
    assert [wire.closed for wire in rig.wires] == [False, True, False]
    assert [wire.sent.count(b"\n") for wire in rig.wires] == [1, 0, 1]
    assert [str(each["exception"]) for each in errors] == ["made up"]


async def test_who_sends_more_lines_than_he_may_is_read_later(batch: Batch) -> None:
    rig = Rig(batch, 2)
    shared = rig._listener.shared
    shared.settings = replace(shared.settings, lines_per_sec=1.0)
    for nonce in range(4):
        rig.connections[0].data_received(rig.share(0, nonce))
        await asyncio.sleep(0)
    assert [wire.paused for wire in rig.wires] == [True, False]
