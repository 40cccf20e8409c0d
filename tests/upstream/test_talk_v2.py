"""Stratum V2 with a pool: against this program's own session, from the handshake to the answers of shares."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("coincurve", reason="needs the extra stratum2")

from solominer.chain.encode_address import base58check
from solominer.chain.networks import REGTEST
from solominer.chain.target import target_from_difficulty
from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment
from solominer.engines.stratum.client import JobArrived
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.events import BlockAccepted, Output
from solominer.engines.stratum.shared import Shared
from solominer.engines.stratum.v2 import curve
from solominer.engines.stratum.v2.certificate import key_text
from solominer.engines.stratum.v2.frames import seal
from solominer.engines.stratum.v2.identity import Identity
from solominer.engines.stratum.v2.messages import (
    CloseChannel,
    Message,
    NewExtendedMiningJob,
    OpenExtendedMiningChannelSuccess,
    SetGroupChannel,
    SetNewPrevHash,
    SetTarget,
    SetupConnectionSuccess,
    packed,
)
from solominer.engines.stratum.v2.session import V2Session
from solominer.errors import BadValue, PoolError
from solominer.upstream.jobs import extranonce2_of, pool_job
from solominer.upstream.talk import Heard, LoggedIn, ShareAnswered
from solominer.upstream.talk_v2 import V2Talk
from tests.engines.stratum.builders import REGTEST_BITS, make_shared, make_work
from tests.engines.stratum.v2.miner import AUTHORITY

KEY = key_text(curve.public_x(AUTHORITY))


def pool_of(key: str = KEY) -> PoolConfig:
    return PoolConfig.model_validate(f"stratum2+tcp://rig.1@127.0.0.1:3333/{key}")


class Wire:
    """A talk and a session that hear each other at once."""

    def __init__(self, shared: Shared, key: str = KEY) -> None:
        self.shared = shared
        self.session = V2Session(shared, Identity(AUTHORITY), 0.0)
        self.talk = V2Talk(pool_of(key), ("127.0.0.1", 3333))
        self.heard: list[Heard] = []
        self.say(self.talk.begin())

    def say(self, data: bytes) -> None:
        while data:
            data = self.hear(self.session.receive(data, 0.0))

    def hear(self, output: Output) -> bytes:
        heard, reply = self.talk.receive(output.data)
        self.heard += heard
        for event in output.events:
            if isinstance(event, BlockAccepted):
                heard, more = self.talk.receive(self.session.block_answer(event.id_json, None))
                self.heard, reply = self.heard + heard, reply + more
        return reply

    @property
    def assignment(self) -> Assignment:
        return [each.assignment for each in self.heard if isinstance(each, JobArrived)][-1]

    def answers(self) -> list[Any]:
        return [each.refusal for each in self.heard if isinstance(each, ShareAnswered)]


def wire_of(**changes: Any) -> Wire:
    return Wire(make_shared(make_work(1, 1, nbits=REGTEST_BITS), limits=Limits(start=1e-6, fractional=True), **changes))


def test_a_share_of_our_job_is_accepted_and_a_second_time_refused() -> None:
    wire = wire_of()
    assert isinstance(wire.heard[0], LoggedIn)
    assignment = wire.assignment
    job = pool_job(assignment, network=REGTEST, pool="p", job_id=1, number=5)
    assert job.coinbase.extranonce_size == 8
    extranonce = job.extranonce(b"abcd", 77)
    bits = 0x00A0E000
    nonce = 0
    while True:
        header = job.header(extranonce, job.space.version_with(bits), job.space.ntime_min, nonce).pack()
        if int.from_bytes(hashlib.sha256(hashlib.sha256(header).digest()).digest(), "little") <= job.share_target:
            break
        nonce += 1
    for _ in range(2):
        _, data = wire.talk.submit(assignment, extranonce2_of(assignment, extranonce), nonce, bits)
        wire.say(data)
    accepted, refused = wire.answers()
    assert accepted is None
    assert refused.text == "duplicate-share"


def test_a_version_bit_that_the_pool_signals_is_not_rolled() -> None:
    """Regtest's node signals bit 28 from height 144 on, which is one of BIP 320's."""
    work = replace(make_work(1, 1, nbits=REGTEST_BITS), version=0x30000000, version_mask=0x0FFFE000)
    wire = Wire(make_shared(work, limits=Limits(start=1e-6, fractional=True)))
    assert wire.assignment.version_mask == 0x0FFFE000
    _, data = wire.talk.submit(wire.assignment, bytes(8), 0, 0x0000E000)
    wire.say(data)
    assert [refusal and refusal.text for refusal in wire.answers()] != ["invalid-version"]


def test_a_new_tip_is_a_new_job_and_old_shares_are_stale() -> None:
    wire = wire_of()
    old = wire.assignment
    wire.shared.board.publish(make_work(2, 2, nbits=REGTEST_BITS), 1.0)
    wire.hear(wire.session.work_changed(1.0))
    assert wire.assignment.job.prevhash_le != old.job.prevhash_le
    assert wire.assignment.job.clean
    _, data = wire.talk.submit(replace(old, job=old.job._replace(job_id="99999")), bytes(8), 1, 0)
    wire.say(data)
    assert wire.answers()[-1].text == "invalid-job-id"


class PoolOfGroups:
    """A pool that opens channel 7 in group 5 and says what a test wants."""

    def __init__(self) -> None:
        self.talk = V2Talk(pool_of(), ("127.0.0.1", 3333))
        reply, self.ciphers = Identity(AUTHORITY).respond(self.talk.begin())
        self.heard: list[Heard] = []
        self.hear(reply)
        self.say(SetupConnectionSuccess(2, 0))
        self.say(OpenExtendedMiningChannelSuccess(1, 7, b"\xff" * 32, 8, b"pref", 5))

    def hear(self, data: bytes) -> None:
        self.heard += self.talk.receive(data)[0]

    def say(self, *messages: Message) -> None:
        self.hear(seal(self.ciphers.send, map(packed, messages)))

    def jobs(self) -> list[Assignment]:
        return [each.assignment for each in self.heard if isinstance(each, JobArrived)]


def job_for(channel: int, number: int, min_ntime: int | None = None) -> NewExtendedMiningJob:
    return NewExtendedMiningJob(channel, number, min_ntime, 0x20000000, True, (), b"coin1", b"coin2")


def test_jobs_for_the_group_of_our_channel_are_ours() -> None:
    pool = PoolOfGroups()
    pool.say(job_for(5, 1), SetNewPrevHash(5, 1, bytes(32), 100, REGTEST_BITS))
    pool.say(job_for(5, 2, min_ntime=101), job_for(6, 3, min_ntime=102))
    assert [(each.job.job_id, each.extranonce1) for each in pool.jobs()] == [("1", b"pref"), ("2", b"pref")]
    pool.say(SetGroupChannel(6, (7, 8)), job_for(5, 4, min_ntime=103), job_for(6, 5, min_ntime=104))
    assert [each.job.job_id for each in pool.jobs()] == ["1", "2", "5"]


@pytest.mark.parametrize("number", [7, 5])
def test_a_channel_that_is_closed_behind_a_job_is_lost(number: int) -> None:
    pool = PoolOfGroups()
    pool.say(job_for(7, 1), SetNewPrevHash(7, 1, bytes(32), 100, REGTEST_BITS))
    with pytest.raises(PoolError, match="closed the channel: bye"):
        pool.say(job_for(7, 2, min_ntime=101), CloseChannel(number, "bye"))


def test_the_share_target_is_never_above_the_pools() -> None:
    wire = wire_of()
    ours = wire.assignment.share_target
    (channel,) = wire.talk._client.channels.values()
    assert channel.work is not None
    assert 0 <= channel.work.target - ours <= channel.work.target >> 50
    assert target_from_difficulty(wire.assignment.difficulty) == ours


def test_a_target_that_no_miner_can_meet_is_not_mined() -> None:
    pool = PoolOfGroups()
    pool.say(
        job_for(7, 1), SetTarget(7, (1).to_bytes(32, "little")), SetNewPrevHash(7, 1, bytes(32), 100, REGTEST_BITS)
    )
    (impossible,) = pool.jobs()
    with pytest.raises(BadValue, match=r"no miner can meet its share difficulty of 2\.69595e\+67"):
        pool_job(
            replace(wire_of().assignment, difficulty=impossible.difficulty),
            network=REGTEST, pool="p", job_id=1, number=1,
        )  # fmt: skip
    with pytest.raises(PoolError, match="a target of zero"):
        pool.say(SetTarget(7, bytes(32)), job_for(7, 2, min_ntime=101))


def test_another_authority_is_refused() -> None:
    other = key_text(curve.public_x(bytes(31) + b"\x09"))
    with pytest.raises(PoolError, match=r"authority|certificate|signed"):
        Wire(make_shared(make_work(1, 1)), other)
    with pytest.raises(PoolError, match="no authority key of Stratum V2"):
        V2Talk(pool_of(base58check(bytes(34))), ("h", 1))


def test_a_changed_byte_ends_it() -> None:
    wire = wire_of()
    wire.shared.board.publish(make_work(2, 2, nbits=REGTEST_BITS), 1.0)
    data = bytearray(wire.session.work_changed(1.0).data)
    data[10] ^= 1
    with pytest.raises(PoolError):
        wire.talk.receive(bytes(data))
