"""Shares of V2 by the batch: whatever a client sends, compiled code answers what the session does with hashlib."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solominer.chain.hashes import sha256d
from solominer.config.paths import default_cache_dir
from solominer.engines.stratum.batch import Batch
from solominer.engines.stratum.channel import ListenerSetup, Publish, ServerLimits, Setup
from solominer.engines.stratum.connection import LAST_SHARES_SECS, Connection
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.duplicates import Duplicates
from solominer.engines.stratum.events import BlockAccepted, BlockFound, Event
from solominer.engines.stratum.reference import MAX_BATCH
from solominer.engines.stratum.server import Server
from solominer.engines.stratum.shares import share_target
from solominer.engines.stratum.v2 import curve
from solominer.engines.stratum.v2.client import V2Client
from solominer.engines.stratum.v2.messages import (
    FORMS,
    CloseChannel,
    Message,
    SubmitSharesError,
    SubmitSharesExtended,
    SubmitSharesStandard,
    SubmitSharesSuccess,
    UpdateChannel,
)
from solominer.engines.stratum.validate import load_validator
from solominer.engines.stratum.work import Work
from tests.engines.stratum.builders import EASY, HARD_BITS, MASK, P2WPKH, REGTEST_BITS, line, make_shared, make_work
from tests.engines.stratum.test_intake import Wire
from tests.engines.stratum.v2.miner import ANY_TARGET, AUTHORITY, Miner, extended, framed, setup, standard

STEADY = Limits(start=EASY, least=EASY, most=EASY, fractional=True)
CHANNELS = (
    standard(1, "rig.1"),
    extended(2, "rig.2", size=3),
    extended(3, "rig.3", size=0),
    extended(4, "rig.4", size=8),
)


@pytest.fixture(scope="module")
def batch() -> Batch:
    validator = load_validator(default_cache_dir(), print)
    assert validator is not None
    return Batch(validator)


def pair(batch: Batch, work: Work, limits: Limits = STEADY) -> tuple[Miner, Miner]:
    """The same miner twice, with channels of all kinds: by the batch and without."""
    miners = []
    for use in (batch, None):
        shared = make_shared(work, limits=limits)
        shared.checker.use(use)
        miner = Miner(shared)
        miner.open(*CHANNELS, flags=0)
        miners.append(miner)
    assert [miners[0].work(n) for n in range(1, 5)] == [miners[1].work(n) for n in range(1, 5)]
    return miners[0], miners[1]


def agree(one: Miner, other: Miner, packets: list[list[tuple[int, bytes]]], now: float = 1.0) -> None:
    """Both say the same, and count the same, for these packets of (kind, payload)."""

    def blocks_first(event: Event) -> bool:
        return not isinstance(event, BlockFound)

    for packet in packets:
        said, events, closed = [], [], []
        for miner in (one, other):
            data = b"".join(framed(miner.client._send, *each, channel=True) for each in packet)  # type: ignore[arg-type]
            output = miner.session.receive(data, now)
            said.append(miner.client.receive(output.data))
            events.append([repr(event) for event in sorted(output.events, key=blocks_first)])
            closed.append(output.close)
        assert said[0] == said[1]
        assert closed[0] == closed[1]
        assert events[0] == events[1]
    for name, worker in one.session.workers.items():
        mine, theirs = worker.tally, other.session.workers[name].tally
        assert (mine.accepted, mine.rejected) == (theirs.accepted, theirs.rejected)
        assert (mine.hashes, mine.best_hash) == (theirs.hashes, theirs.best_hash)


@st.composite
def shares(draw: st.DrawFn, miner: Miner) -> tuple[int, bytes]:
    number = draw(st.sampled_from([1, 1, 1, 2, 2, 3, 4, 9]))
    work = miner.work(number if number in miner.client.channels else 1)
    size = {2: 3, 3: 0, 4: 8}.get(number)
    job_id = draw(st.sampled_from(12 * [work.job.job_id] + [0, 7, 2**32 - 1]))
    ntime = draw(st.sampled_from(12 * [work.ntime] + [work.ntime + 1, 0, 2**32 - 1]))
    version = work.job.version | draw(st.sampled_from(8 * [0] + [0x2000, MASK, 0x40000000, 1]))
    values = number, draw(st.integers(0, 9)), job_id, draw(st.integers(0, 12)), ntime, version
    message: Message = SubmitSharesStandard(*values)
    if draw(st.integers(0, 15)) == 0:
        message = UpdateChannel(1, 0.0, ANY_TARGET) if draw(st.booleans()) else CloseChannel(number, "")
    elif size is not None and draw(st.integers(0, 15)) > 0:
        message = SubmitSharesExtended(*values, draw(st.integers(0, 3)).to_bytes(8, "big")[8 - size :])
    elif draw(st.integers(0, 15)) == 0:
        message = SubmitSharesExtended(*values, draw(st.binary(max_size=9)))
    kind, payload = _bytes(message)
    if draw(st.integers(0, 40)) == 0:
        payload = draw(st.sampled_from([payload[:-1], payload + b"\0", payload[:3], b""]))
    return kind, payload


def _bytes(message: Message) -> tuple[int, bytes]:
    form = FORMS[type(message)]
    return form.kind, form.encode(message)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_is_sent_both_ways_say_the_same(batch: Batch, data: st.DataObject) -> None:
    bits = data.draw(st.sampled_from([HARD_BITS, HARD_BITS, REGTEST_BITS]))
    notable = data.draw(st.sampled_from([0, share_target(EASY * 8)]))
    one, other = pair(batch, make_work(nbits=bits, notable_target_le=notable.to_bytes(32, "little")))
    agree(one, other, data.draw(st.lists(st.lists(shares(one), max_size=8), max_size=5)))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_many_shares_in_packets_of_any_size(batch: Batch, number: int) -> None:
    """More than a batch at once, duplicates over tables that grow."""
    rng = random.Random(number)
    one, other = pair(batch, make_work(merkle_branch=tuple(sha256d(bytes([i])) for i in range(3 * number))))
    for miner in (one, other):
        miner.shared.checker.duplicates = Duplicates(slots=(8, 32, 1024))
    work = one.work(number)
    packets = []
    for size in (1, 2, 40, 2 * MAX_BATCH + 7, 300):
        extranonces = [rng.randrange(4).to_bytes(8, "big")[8 - (work.extranonce_size or 0) :] for _ in range(size)]
        headers = [work.header(rng.randrange(60), each if work.extranonce_size else b"") for each in extranonces]
        packets.append(
            [
                _bytes(work.share(n, header, extranonce))
                for n, (header, extranonce) in enumerate(zip(headers, extranonces, strict=True))
            ]
        )
    agree(one, other, packets)
    tally = one.session.workers[f"rig.{number}"].tally
    assert tally.accepted > 10
    assert tally.rejected["Duplicate"] > 20
    assert tally.rejected["Above target"] > 20


def test_shares_by_the_batch_move_the_difficulty_as_one_by_one(batch: Batch) -> None:
    """A share that is on its way then counts by the target of its own job."""
    one, other = pair(batch, make_work(), Limits(start=EASY, fractional=True))
    work = one.work(1)
    good = [each for each in (_bytes(work.share(n, work.header(n))) for n in range(600)) if accepted(one, each)]
    one, other = pair(batch, make_work(), Limits(start=EASY, fractional=True))
    for at, share in enumerate(good[:80]):
        agree(one, other, [[share]], now=1.0 + at / 100)
    assert one.channel().target == other.channel().target < work.target


def accepted(miner: Miner, share: tuple[int, bytes]) -> bool:
    data = framed(miner.client._send, *share, channel=True)  # type: ignore[arg-type]
    return any(isinstance(each, SubmitSharesSuccess) for each in miner.take(miner.session.receive(data, 0.0)))


class Rig:
    """A server without sockets, with miners of V2 and one of V1."""

    def __init__(self, batch: Batch | None, miners: int) -> None:
        listener = ListenerSetup(fractional=True, start_difficulty=EASY, least_difficulty=EASY, most_difficulty=EASY)
        setup_ = Setup(1, [listener], ServerLimits(), 0, 1 << 24, 0x1000, authority_secret=AUTHORITY)
        self.server = Server(setup_, lambda message: None, lambda: 1.0)
        self.server.checker.use(batch)
        self.server.publish(Publish(self.work(1)))
        listener_ = self.server._listener(listener)
        self.wires = [Wire() for _ in range(miners + 1)]
        self.connections = [Connection(self.server, listener_) for _ in self.wires]
        for connection, wire in zip(self.connections, self.wires, strict=True):
            connection.connection_made(wire)
        self.clients = [V2Client(curve.public_x(AUTHORITY)) for _ in range(miners)]
        for number, client in enumerate(self.clients):
            self.connections[number].data_received(client.act1)
            self.read(number)
            opening = standard(user=f"rig.{number}") if number % 2 else extended(user=f"rig.{number}")
            self.connections[number].data_received(client.sealed(setup(flags=0), opening))
            self.read(number)
        login = line(1, "mining.subscribe"), line(2, "mining.authorize", "old")
        self.connections[-1].data_received("".join(f"{each}\n" for each in login).encode())

    @staticmethod
    def work(number: int) -> Work:
        return make_work(number, number, outputs=((P2WPKH, 312_500_000),))

    def read(self, number: int) -> list[Message]:
        """What a miner was sent."""
        said, self.wires[number].sent = self.wires[number].sent, b""
        return self.clients[number].receive(said)

    def share(self, number: int, nonce: int, sequence: int) -> bytes:
        """A share of a miner's first channel, encrypted."""
        work = self.clients[number].channels[1].work
        assert work is not None
        extranonce = bytes(work.extranonce_size or 0)
        return self.clients[number].sealed(work.share(sequence, work.header(nonce, extranonce), extranonce))


async def test_single_shares_of_all_connections_get_what_they_would_get_alone(batch: Batch) -> None:
    choose = random.Random(3)
    rigs = Rig(batch, 5), Rig(None, 5)
    said: tuple[list[Message], list[Message]] = [], []
    held, rests = 0, [[b""] * 5, [b""] * 5]
    for turn in range(60):
        if turn == 40:
            for rig in rigs:
                rig.server.publish(Publish(Rig.work(2)))  # shares that follow are late: nobody has read of it yet
                await asyncio.sleep(0.01)
        for number in choose.sample(range(5), choose.randint(1, 5)):
            sent = [(choose.randrange(40), choose.randrange(99)) for _ in range(choose.randint(1, 3))]
            update, cut = choose.randrange(20) == 0, choose.choice((0, 0, 0, 20))
            for rig, rest in zip(rigs, rests, strict=True):
                data = rest[number] + b"".join(rig.share(number, *each) for each in sent)
                data += rig.clients[number].sealed(UpdateChannel(1, 0.0, ANY_TARGET)) if update else b""
                now, rest[number] = data[: len(data) - cut], data[len(data) - cut :]
                rig.connections[number].data_received(now)
            held += rigs[0].connections[number] in rigs[0].server.intake._waiting
        await asyncio.sleep(0)
        if turn != 40:
            for rig, heard in zip(rigs, said, strict=True):
                for number in range(5):
                    heard += rig.read(number)
    assert held > 100
    assert said[0] == said[1]
    codes = {each.error_code for each in said[0] if isinstance(each, SubmitSharesError)}
    assert codes == {"difficulty-too-low", "duplicate-share", "stale-share"}
    assert sum(each.new_submits_accepted_count for each in said[0] if isinstance(each, SubmitSharesSuccess)) > 20


async def test_a_frame_that_was_changed_ends_one_connection_alone(batch: Batch) -> None:
    rig = Rig(batch, 3)
    for number in range(3):
        data = bytearray(rig.share(number, 1, 5) + rig.share(number, 2, 6))
        data[-1] ^= number == 1
        rig.connections[number].data_received(bytes(data))
        assert rig.connections[number] in rig.server.intake._waiting
    await asyncio.sleep(0)
    assert [bool(each.closed_for) for each in rig.connections] == [False, True, False, False]
    assert [len(rig.read(number)) > 0 for number in range(3)] == [True, True, True]  # the share before it is answered
    await asyncio.sleep(LAST_SHARES_SECS + 0.1)
    assert [wire.closed for wire in rig.wires] == [False, True, False, False]


async def test_the_check_that_goes_away_within_a_turn(batch: Batch) -> None:
    rig = Rig(batch, 2)
    rig.connections[1].data_received(rig.share(1, 1, 5))
    rig.server.checker.use(None)
    rig.server.intake.drain()
    (said,) = rig.read(1)
    assert isinstance(said, SubmitSharesSuccess | SubmitSharesError)


def test_blocks_and_notable_shares_among_many_are_found(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.engines.stratum.base_session.BLOCKS_PER_WORK", 200)
    notable = share_target(EASY * 4)
    one, _ = pair(batch, make_work(nbits=REGTEST_BITS, notable_target_le=notable.to_bytes(32, "little")))
    work = one.work(1)
    data = one.client.sealed(*(work.share(n, work.header(n)) for n in range(200)))
    events = one.session.receive(data, 0.0).events
    blocks = [each.hash_le for each in events if isinstance(each, BlockFound)]
    assert len(blocks) > 50
    assert set(blocks) == {each.hash_le for each in events if isinstance(each, BlockAccepted)}
