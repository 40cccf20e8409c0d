"""The V2 session: channels, jobs, shares, difficulty, payouts and limits, with a client of our own at the other end."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.chain.hashes import hash_to_int
from solominer.chain.target import target_from_difficulty
from solominer.engines.stratum.connection import connection_record
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.events import (
    AddressWanted,
    Authorized,
    AuthorizeRefused,
    BlockAccepted,
    BlockFound,
    Departed,
    NotableShare,
)
from solominer.engines.stratum.messages import StratumError
from solominer.engines.stratum.server import _payouts
from solominer.engines.stratum.shared import PayTo
from solominer.engines.stratum.v2 import curve
from solominer.engines.stratum.v2.client import V2Client
from solominer.engines.stratum.v2.identity import BEFORE_SECS, VALID_SECS, Identity
from solominer.engines.stratum.v2.messages import (
    FORMS,
    CloseChannel,
    NewExtendedMiningJob,
    NewMiningJob,
    OpenExtendedMiningChannel,
    OpenExtendedMiningChannelSuccess,
    OpenMiningChannelError,
    OpenStandardMiningChannel,
    OpenStandardMiningChannelSuccess,
    SetNewPrevHash,
    SetTarget,
    SetupConnectionError,
    SetupConnectionSuccess,
    SubmitSharesError,
    SubmitSharesExtended,
    SubmitSharesStandard,
    SubmitSharesSuccess,
    UpdateChannel,
    UpdateChannelError,
)
from solominer.engines.stratum.v2.session import MAX_REFUSED_CHANNELS, V2Session
from solominer.engines.stratum.v2.shares import Answers
from solominer.engines.stratum.vardiff import Rule
from solominer.engines.stratum.work import Standing, swap_words
from solominer.errors import BadValue
from tests.engines.stratum.builders import (
    EASY,
    HARD_BITS,
    MASK,
    P2PKH,
    P2WPKH,
    REGTEST_BITS,
    Client,
    make_shared,
    make_work,
    network_target,
)
from tests.engines.stratum.v2.miner import ANY_TARGET, AUTHORITY, NOW, Miner, extended, framed, setup, solve, standard
from tests.engines.stratum.v2.test_messages import values_of


def kinds(messages: Any) -> list[str]:
    return [type(message).__name__ for message in messages]


@pytest.fixture
def miner() -> Miner:
    """A miner with a standard channel."""
    miner = Miner(make_shared(make_work()))
    miner.open()
    return miner


# Opening


def test_opening_a_standard_channel() -> None:
    miner = Miner(make_shared(make_work()))
    said = miner.open()
    assert kinds(said) == [
        "SetupConnectionSuccess",
        "OpenStandardMiningChannelSuccess",
        "NewMiningJob",
        "SetNewPrevHash",
    ]
    success, opened, job, prev = said
    assert success == SetupConnectionSuccess(2, 0)
    assert isinstance(opened, OpenStandardMiningChannelSuccess)
    assert (opened.request_id, opened.channel_id) == (1, 1)
    assert len(opened.extranonce_prefix) == 12
    assert isinstance(job, NewMiningJob)
    assert isinstance(prev, SetNewPrevHash)
    work = make_work()
    assert job.min_ntime is None
    assert job.version == work.version & ~MASK
    assert prev == SetNewPrevHash(1, job.job_id, work.prevhash_le, work.ntime, work.nbits)
    assert miner.session.user_agent == "bitaxe BM1370 v2.9.0"
    assert [event.worker.name for event in miner.of(Authorized)] == ["rig.1"]


def test_the_root_of_a_standard_job_is_that_of_its_coinbase(miner: Miner) -> None:
    """The same job by V1's line, with the channel's extranonce."""
    v1 = Client(miner.shared)
    v1.login()
    v1.extranonce1 = miner.channel().extranonce_prefix[:4]
    job = miner.work().job
    assert int(v1.job[0], 16) % 2**32 == job.job_id
    header = v1.header(v1.job, miner.channel().extranonce_prefix[4:], miner.work().ntime, 0, job.version)
    assert header == miner.work().header()
    assert swap_words(bytes.fromhex(v1.job[1])) == miner.work().prev_hash


@pytest.mark.parametrize("size", [0, 1, 2, 8])
def test_an_extended_channel_gets_the_extranonce_size_that_it_asked_for(size: int) -> None:
    miner = Miner(make_shared(make_work()))
    said = miner.open(extended(size=size))
    opened, job = said[1], said[2]
    assert isinstance(opened, OpenExtendedMiningChannelSuccess)
    assert isinstance(job, NewExtendedMiningJob)
    assert (opened.extranonce_size, len(opened.extranonce_prefix)) == (size, 12 - size)
    assert job.merkle_path == make_work().merkle_branch
    assert job.version_rolling_allowed
    header = solve(miner.work(), extranonce=b"\x05" * size)
    assert miner.hand_in(header, extranonce=b"\x05" * size) == SubmitSharesSuccess(1, 0, 1, 0)


def test_an_extranonce_that_is_too_large_is_refused() -> None:
    miner = Miner(make_shared(make_work()))
    (error,) = miner.open(extended(size=9))[1:]
    assert error == OpenMiningChannelError(1, "min-extranonce-size-too-large: 8 bytes are the most")


def test_channels_of_a_connection_have_work_of_their_own() -> None:
    miner = Miner(make_shared(make_work()))
    miner.open(standard(1), standard(2, "other.2"), extended(3))
    roots = {miner.work(number).header(extranonce=bytes(2)).merkle_root_le for number in (1, 2, 3)}
    assert len(roots) == 3
    assert len({miner.channel(number).extranonce_prefix[:4] for number in (1, 2, 3)}) == 3
    assert {event.worker.name for event in miner.of(Authorized)} == {"rig.1", "other.2"}


@pytest.mark.parametrize(
    ("about", "flags", "code"),
    [
        ({"protocol": 1}, 0, "unsupported-protocol"),
        ({"min_version": 3, "max_version": 4}, 0, "protocol-version-mismatch"),
        ({"min_version": 1, "max_version": 1}, 0, "protocol-version-mismatch"),
        ({"flags": 7}, 2, "unsupported-feature-flags"),
        ({"flags": 0x80000000}, 0x80000000, "unsupported-feature-flags"),
    ],
)
def test_a_setup_that_cannot_be(about: dict[str, Any], flags: int, code: str) -> None:
    miner = Miner(make_shared(make_work()))
    assert miner.say(setup(**about)) == [SetupConnectionError(flags, code)]
    assert code in miner.closed


def test_versions_that_cannot_be_rolled_are_said() -> None:
    miner = Miner(make_shared(make_work(version_mask=0)))
    assert miner.say(setup(flags=1)) == [SetupConnectionSuccess(2, 1)]
    miner = Miner(make_shared(make_work(version_mask=0)))
    assert miner.say(setup(flags=4)) == [SetupConnectionError(4, "unsupported-feature-flags")]


def test_setup_comes_first_and_once() -> None:
    miner = Miner(make_shared(make_work()))
    assert miner.say(standard()) == []
    assert miner.closed == "no SetupConnection came first"
    miner = Miner(make_shared(make_work()))
    miner.open()
    miner.say(setup())
    assert miner.closed == "a second SetupConnection"


def test_ten_thousand_channels_are_limited() -> None:
    miner = Miner(make_shared(make_work(), max_workers=20))
    miner.open()
    for start in range(0, 10_000, 1000):
        miner.say(*(standard(start + number) for number in range(1000)))
    opened = [each for each in miner.messages if isinstance(each, OpenStandardMiningChannelSuccess)]
    errors = [each for each in miner.messages if isinstance(each, OpenMiningChannelError)]
    assert (len(opened), len(errors)) == (20, 9_981)
    assert "too-many-channels" in errors[0].error_code
    assert len(miner.shared.table) == 20
    assert not miner.closed
    miner.session.closed(0.0)
    assert len(miner.shared.table) == 0


def test_a_closed_channel_makes_room_and_its_shares_are_unknown() -> None:
    miner = Miner(make_shared(make_work(), max_workers=1))
    miner.open()
    share = miner.work().share(9, solve(miner.work()))
    assert miner.say(CloseChannel(1, "bye"), share) == [SubmitSharesError(1, 9, "invalid-channel-id")]
    assert len(miner.shared.table) == 0
    assert kinds(miner.say(standard()))[0] == "OpenStandardMiningChannelSuccess"


def test_a_block_of_a_channel_that_was_just_closed_is_a_block() -> None:
    """The server closes one that cannot be paid any more while its miner hashes on."""
    work = make_work(nbits=REGTEST_BITS)
    miner = Miner(make_shared(work))
    miner.open(standard(), extended(2))
    shares = [miner.work(n).share(9, solve(miner.work(n), network_target(work)), bytes(2 * n - 2)) for n in (1, 2)]
    for number, share in enumerate(shares, start=1):
        assert miner.say(CloseChannel(number, "bye"), share) == [SubmitSharesError(number, 9, "invalid-channel-id")]
    assert [event.refused for event in miner.of(BlockFound)] == 2 * ["Invalid channel"]
    for request in range(40):  # what is kept of closed channels is bounded
        (opened, *_) = miner.say(standard(request))
        assert isinstance(opened, OpenStandardMiningChannelSuccess)
        miner.say(CloseChannel(opened.channel_id, "bye"))
    assert miner.say(shares[0]) == [SubmitSharesError(1, 9, "invalid-channel-id")]
    assert len(miner.of(BlockFound)) == 2


def test_a_worker_is_gone_with_its_last_channel() -> None:
    """A proxy opens one for each of its miners, under names without end."""
    miner = Miner(make_shared(make_work()))
    miner.open(standard(1, "rig.1"), standard(2, "rig.1"), standard(3, "rig.2"))
    miner.say(CloseChannel(1, "bye"))
    assert list(miner.session.workers) == ["rig.1", "rig.2"]
    miner.say(CloseChannel(2, "bye"))
    assert list(miner.session.workers) == ["rig.2"]
    assert [event.worker.name for event in miner.of(Departed)] == ["rig.1"]
    for number in range(100):
        (opened, *_) = miner.say(standard(number, f"rig.2.{number}"))
        assert isinstance(opened, OpenStandardMiningChannelSuccess)
        miner.say(CloseChannel(opened.channel_id, "bye"))
    assert list(miner.session.workers) == ["rig.2"]
    connection: Any = SimpleNamespace(session=miner.session, opened_at=0.0)
    assert connection_record(connection, 1.0)["worker"] == "rig.2"
    miner.say(CloseChannel(3, "bye"))
    assert connection_record(connection, 1.0)["worker"] == "(no channel)"


# Jobs


def test_a_new_tip_is_a_future_job_and_its_parent(miner: Miner) -> None:
    before = miner.work()
    job, prev = miner.publish(make_work(2, tip=2))
    assert isinstance(job, NewMiningJob)
    assert isinstance(prev, SetNewPrevHash)
    assert job.min_ntime is None
    assert prev.job_id == job.job_id != before.job.job_id
    assert miner.work().prev_hash == make_work(2, tip=2).prevhash_le


def test_fresh_work_on_the_same_tip_begins_at_once(miner: Miner) -> None:
    (job,) = miner.publish(make_work(2, coinbase_value=312_600_000))
    assert isinstance(job, NewMiningJob)
    assert job.min_ntime == make_work().ntime


@pytest.mark.parametrize("asked", [standard(), extended()])
def test_no_job_is_sent_twice(asked: Any) -> None:
    miner = Miner(make_shared(make_work()))
    miner.open(asked)
    headers, ids = {miner.work().header(extranonce=bytes(2)).merkle_root_le}, {miner.work().job.job_id}
    for _ in range(10):
        assert "Mining" in kinds(miner.tick(60.0))[-1]
        headers.add(miner.work().header(extranonce=bytes(2)).merkle_root_le)
        ids.add(miner.work().job.job_id)
    miner.take(miner.session.work_changed(miner.now))
    assert len(headers) == len(ids) == 11


def test_channels_wait_for_work() -> None:
    miner = Miner(make_shared())
    assert kinds(miner.open(standard(), extended(2))) == ["SetupConnectionSuccess"]
    assert miner.tick(61.0) == []
    assert not miner.closed
    assert kinds(miner.publish(make_work())) == [
        "OpenStandardMiningChannelSuccess",
        "NewMiningJob",
        "SetNewPrevHash",
        "OpenExtendedMiningChannelSuccess",
        "NewExtendedMiningJob",
        "SetNewPrevHash",
    ]


def test_without_work_nothing_is_announced(miner: Miner) -> None:
    miner.shared.board.withdraw()
    assert miner.tick(100.0) == []
    assert miner.take(miner.session.work_changed(miner.now)) == []
    assert isinstance(miner.hand_in(solve(miner.work())), SubmitSharesSuccess)


# Shares


def test_shares_that_follow_each_other_are_answered_together(miner: Miner) -> None:
    work, shares, above = miner.work(), [], -1
    for sequence in range(5):
        header = solve(work, above=above)
        above = hash_to_int(header.hash_le())
        shares.append(work.share(sequence, header))
    bad = work.share(7, solve(work, 2**256, above=work.target))
    assert miner.say(*shares, bad, *shares[:1]) == [
        SubmitSharesSuccess(1, 4, 5, 0),
        SubmitSharesError(1, 7, "difficulty-too-low"),
        SubmitSharesError(1, 0, "duplicate-share"),
    ]
    (tally,) = {event.worker.tally for event in miner.of(Authorized)}
    assert (tally.accepted, tally.rejected) == (5, {"Above target": 1, "Duplicate": 1})
    assert tally.name == "rig.1"


def test_the_sum_of_the_shares_is_that_of_their_difficulties() -> None:
    answers = Answers(1)
    for sequence, difficulty in ((7, 1024.0), (9, 2048.0), (8, 0.25)):
        answers.accept(sequence, 1, difficulty)
    assert answers.messages() == [SubmitSharesSuccess(1, 8, 3, 3072)]


def test_shares_of_several_channels_in_one_packet() -> None:
    miner = Miner(make_shared(make_work()))
    miner.open(standard(1), standard(2))
    shares = [
        miner.work(number).share(sequence, solve(miner.work(number))) for sequence, number in enumerate((1, 2, 1))
    ]
    assert miner.say(*shares) == [
        SubmitSharesSuccess(1, 0, 1, 0),
        SubmitSharesSuccess(2, 1, 1, 0),
        SubmitSharesError(1, 2, "duplicate-share"),
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"job_id": 1}, "invalid-job-id"),
        ({"ntime": 1_700_000_000}, "invalid-timestamp"),
        ({"ntime": 2**32 - 1}, "invalid-timestamp"),
        ({"version": 0x60000000}, "invalid-version"),
        ({"version": 0x20000001}, "invalid-version"),
    ],
)
def test_a_share_that_is_wrong(miner: Miner, change: dict[str, int], code: str) -> None:
    share = miner.work().share(3, solve(miner.work()))
    assert isinstance(share, SubmitSharesStandard)
    assert miner.say(share._replace(**change)) == [SubmitSharesError(1, 3, code)]


@pytest.mark.parametrize("bits", [0x00002000, 0x1FFFE000])
def test_rolled_versions_count(miner: Miner, bits: int) -> None:
    assert isinstance(miner.hand_in(solve(miner.work(), bits=bits)), SubmitSharesSuccess)


def test_an_extranonce_of_another_length_is_refused() -> None:
    miner = Miner(make_shared(make_work()))
    miner.open(extended(size=2))
    for extranonce in (b"", b"\0", b"\0\0\0", bytes(32)):
        share = miner.work().share(1, solve(miner.work()), extranonce)
        assert miner.say(share) == [SubmitSharesError(1, 1, "invalid-extranonce-size")]


def test_stale_shares_are_refused_and_are_blocks_all_the_same() -> None:
    miner = Miner(make_shared(make_work(nbits=REGTEST_BITS)))
    miner.open()
    old = miner.work()
    share = old.share(1, solve(old, network_target(make_work(nbits=REGTEST_BITS))))
    miner.publish(make_work(2, tip=2, nbits=REGTEST_BITS))
    assert miner.say(share) == [SubmitSharesError(1, 1, "stale-share")]
    assert [event.refused for event in miner.of(BlockFound)] == ["Stale"]


@pytest.mark.parametrize("change", [{"ntime": 0}, {"version": 0x60000000}, {"version": 1}])
def test_whatever_is_wrong_with_a_share_a_block_is_a_block(change: dict[str, int]) -> None:
    """On regtest every second header is one, so one of a few nonces is."""
    miner = Miner(make_shared(make_work(nbits=REGTEST_BITS)))
    miner.open()
    share = miner.work().share(1, miner.work().header())
    assert isinstance(share, SubmitSharesStandard)
    answers = miner.say(*(share._replace(nonce=nonce, **change) for nonce in range(20)))
    assert kinds(answers) == 20 * ["SubmitSharesError"]
    found = miner.of(BlockFound)
    assert 1 <= len(found) <= 8
    assert all(event.refused and event.worker == "rig.1" for event in found)


def test_a_block_is_answered_when_it_is_on_disk() -> None:
    miner = Miner(make_shared(make_work(nbits=REGTEST_BITS)))
    miner.open(extended(size=4))
    header = solve(miner.work(), network_target(make_work(nbits=REGTEST_BITS)))
    output = miner.session.receive(miner.client.sealed(miner.work().share(5, header, bytes(4))), 0.0)
    assert output.data == b""
    (found,) = (event for event in output.events if isinstance(event, BlockFound))
    assert found.header == header.pack()
    assert found.prefix + found.extranonce + found.suffix == miner.work().coinbase(bytes(4))
    (accepted,) = (event for event in output.events if isinstance(event, BlockAccepted))
    assert accepted.hash_le == header.hash_le()
    answer = miner.session.block_answer(accepted.id_json, StratumError(20, "Not on disk"))
    assert miner.client.receive(answer) == [SubmitSharesError(1, 5, "Not on disk")]
    assert miner.client.receive(miner.session.block_answer(accepted.id_json, None)) == [SubmitSharesSuccess(1, 5, 1, 0)]


def test_notable_shares_are_events(miner: Miner) -> None:
    notable = (2**252).to_bytes(32, "little")
    miner.publish(make_work(2, notable_target_le=notable))
    header = solve(miner.work(), 2**252)
    miner.hand_in(header)
    (event,) = miner.of(NotableShare)
    assert (event.header, event.extranonce) == (header.pack(), miner.channel().extranonce_prefix)


def test_late_shares_count_by_the_target_of_their_own_job(miner: Miner) -> None:
    old = miner.work()
    late = old.share(1, solve(old, above=old.target // 2))
    miner.session.channels[1].difficulty.suggest(EASY * 16, 0.0)
    miner.take(miner.session.work_changed(0.0))
    assert miner.work().target < old.target
    assert isinstance(miner.say(late)[0], SubmitSharesSuccess)


# Difficulty


def test_only_set_target_changes_the_difficulty_and_by_powers_of_two(miner: Miner) -> None:
    targets = [miner.channel().target]
    for number in range(3000):
        miner.now += 0.01
        work = miner.work()
        said = miner.say(work.share(number, solve(work, 2**256 - 1, bits=(number % 4096) << 13)))
        targets += [int.from_bytes(each.maximum_target, "little") for each in said if isinstance(each, SetTarget)]
        if any(isinstance(message, NewMiningJob) for message in said):
            assert kinds(said)[-2:] == ["SetTarget", "NewMiningJob"]
        if len(targets) > 2:
            break
    assert len(targets) > 2
    for target in targets:
        exponent = math.log2((0xFFFF << 208) / target)
        assert target == target_from_difficulty(2.0 ** round(exponent))


@pytest.mark.parametrize(
    ("difficulty", "least", "most", "wanted"),
    [
        (1000.0, 1.0, math.inf, 1024.0),
        (1024.0, 1.0, math.inf, 1024.0),
        (0.3, 0.0, math.inf, 0.5),
        (1000.0, 1.0, 1001.0, 512.0),
        (5.0, 1100.0, math.inf, 2048.0),
        (5.0, 1000.0, 1001.0, 1000.0),
        (1e30, 1.0, 4.65e-10, 2.0**-32),
    ],
)
def test_powers_of_two_inside_the_bounds(difficulty: float, least: float, most: float, wanted: float) -> None:
    assert Rule(least=least, most=most, powers=True).within(difficulty) == wanted


def test_the_hash_rate_that_a_client_names_is_where_it_starts() -> None:
    miner = Miner(make_shared(make_work(nbits=0x17030000), limits=Limits()))
    miner.open(standard(rate=1.2e12))
    assert miner.session.difficulty.announced == 1024.0  # 3.3 s a share at 931
    assert miner.say(UpdateChannel(1, 1.4e12, ANY_TARGET)) == []
    assert kinds(miner.say(UpdateChannel(1, 50e12, ANY_TARGET))) == ["SetTarget", "NewMiningJob"]
    assert miner.session.difficulty.announced == 65_536.0


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_a_hash_rate_that_is_none_is_unknown(rate: float) -> None:
    miner = Miner(make_shared(make_work(nbits=0x17030000), limits=Limits()))
    miner.open(standard(rate=rate))
    assert miner.session.difficulty.announced == 1024.0  # a Bitaxe's


def test_the_target_that_a_client_can_take_is_a_floor() -> None:
    wanted = target_from_difficulty(5000.0)
    miner = Miner(make_shared(make_work(nbits=0x17030000), limits=Limits()))
    miner.open(standard(target=wanted.to_bytes(32, "little")))
    assert miner.channel().target <= wanted
    assert miner.session.difficulty.announced == 8192.0
    miner.say(UpdateChannel(1, 0.0, target_from_difficulty(1e5).to_bytes(32, "little")))
    assert miner.session.difficulty.announced == 131_072.0


def test_a_target_that_would_keep_blocks_back_is_refused() -> None:
    miner = Miner(make_shared(make_work(nbits=HARD_BITS)))
    (error,) = miner.open(standard(target=bytes(32)))[1:]
    assert error == OpenMiningChannelError(1, "max-target-out-of-range: blocks would be kept back")
    assert len(miner.shared.table) == 0
    miner.say(standard())
    assert UpdateChannelError(1, "max-target-out-of-range") in miner.say(UpdateChannel(1, 0.0, bytes(32)))
    assert miner.say(UpdateChannel(77, 0.0, bytes(32))) == [UpdateChannelError(77, "invalid-channel-id")]


def test_other_bounds_of_the_listener_reach_a_channel(miner: Miner) -> None:
    miner.shared.settings = type(miner.shared.settings)(limits=Limits(least=EASY * 64, fractional=True))
    assert kinds(miner.take(miner.session.limits_changed(0.0))) == ["SetTarget", "NewMiningJob"]
    assert miner.session.difficulty.announced == EASY * 64


# Who is paid


def test_each_channel_pays_the_address_of_its_user() -> None:
    shared = make_shared(make_work(), pay_to=PayTo.MINER)
    miner = Miner(shared)
    one, other = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH"
    assert kinds(miner.open(extended(1, f"{one}.rig"), extended(2, other))) == ["SetupConnectionSuccess"]
    assert [event.address for event in miner.of(AddressWanted)] == [one, other]
    miner.take(miner.session.address_resolved(one, P2WPKH, "", 0.0))
    miner.take(miner.session.address_resolved(other, P2PKH, "", 0.0))
    for number, script in ((1, P2WPKH), (2, P2PKH)):
        assert script in miner.work(number).coinbase(bytes(2))
    assert not isinstance(miner.work(1).job, NewMiningJob)


def test_an_address_that_cannot_be_paid_is_refused_with_the_reason() -> None:
    miner = Miner(make_shared(make_work(), pay_to=PayTo.MINER))
    miner.open(standard(1, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), standard(2, "me"))
    said = miner.take(miner.session.address_resolved("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", None, "no", 0.0))
    assert said == [OpenMiningChannelError(1, "unknown-user: no")]
    assert OpenMiningChannelError(2, "unknown-user: it must be a Bitcoin address, such as bc1q....worker") in (
        miner.messages
    )
    assert [event.reason for event in miner.of(AuthorizeRefused)][-1] == "unknown-user: no"


def test_channels_that_are_refused_again_and_again_end_the_connection() -> None:
    miner = Miner(make_shared(make_work()))
    miner.open(*(standard(number, "") for number in range(MAX_REFUSED_CHANNELS)))
    assert "channels that were refused" in miner.closed


# The connection


def test_no_channel_within_a_minute_ends_the_connection() -> None:
    for packets in ([], [setup()]):
        miner = Miner(make_shared(make_work()))
        for packet in packets:
            miner.say(packet)
        miner.tick(61.0)
        assert miner.closed == "no open channel within 60 s"


def test_a_handshake_byte_by_byte() -> None:
    session = V2Session(make_shared(make_work()), Identity(AUTHORITY, lambda: NOW), 0.0)
    client = V2Client(curve.public_x(AUTHORITY), lambda: NOW)
    for number, byte in enumerate(client.act1):
        output = session.receive(bytes([byte]), 0.0)
        assert (len(output.data) == 234) == (number == 63)
    for byte in output.data:
        client.receive(bytes([byte]))
    assert client.is_secure
    data = client.sealed(setup(), standard())
    said = b"".join(session.receive(bytes([byte]), 0.0).data for byte in data)
    assert kinds(client.receive(said))[-1] == "SetNewPrevHash"


def test_a_changed_bit_ends_the_connection_after_what_came_before_it(miner: Miner) -> None:
    good = miner.client.sealed(miner.work().share(1, solve(miner.work())))
    bad = bytearray(miner.client.sealed(miner.work().share(2, solve(miner.work()))))
    bad[30] ^= 1
    assert kinds(miner.take(miner.session.receive(good + bytes(bad), 0.0))) == ["SubmitSharesSuccess"]
    assert "changed, lost or repeated" in miner.closed


def test_a_message_that_cannot_be_read_ends_the_connection(miner: Miner) -> None:
    assert miner.client._send is not None
    miner.take(miner.session.receive(framed(miner.client._send, 0x16, b"short", channel=True), 0.0))
    assert "a message that cannot be read" in miner.closed


def test_messages_of_extensions_and_unknown_kinds_are_left_out(miner: Miner) -> None:
    cipher = miner.client._send
    assert cipher is not None
    header = cipher.encrypt(b"\x01\x40\x1a\x02\x00\x00") + cipher.encrypt(b"xx")
    data = header + framed(cipher, 0x22, b"custom", channel=False) + framed(cipher, 0x50, b"", channel=False)
    assert miner.take(miner.session.receive(data, 0.0)) == []
    assert not miner.closed


def test_too_many_messages_are_read_later() -> None:
    miner = Miner(make_shared(make_work(), lines_per_sec=10.0))
    miner.open()
    output = miner.session.receive(miner.client.sealed(*100 * [CloseChannel(9, "")]), 0.0)
    assert output.pause_secs > 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0x10, 0x13, 0x16, 0x18, 0x1A, 0x1B, 0x20, 0x99]), st.binary(max_size=120))))
def test_no_messages_break_a_session(messages: list[tuple[int, bytes]]) -> None:
    miner = Miner(make_shared(make_work()))
    miner.open()
    assert miner.client._send is not None
    data = b"".join(framed(miner.client._send, kind, payload, channel=False) for kind, payload in messages)
    miner.take(miner.session.receive(data, 0.0))
    miner.session.closed(0.0)
    assert len(miner.shared.table) == 0


CLIENTS_KINDS = (
    OpenStandardMiningChannel,
    OpenExtendedMiningChannel,
    UpdateChannel,
    CloseChannel,
    SubmitSharesStandard,
    SubmitSharesExtended,
)


def few_channels(message: Any) -> Any:
    """Most of what is sent is for a channel that may be open."""
    return message._replace(channel_id=message.channel_id % 4) if "channel_id" in message._fields else message


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of([values_of(FORMS[kind]).map(few_channels) for kind in CLIENTS_KINDS]), max_size=30))
def test_no_wild_values_break_a_session(messages: list[Any]) -> None:
    """Each channel and share is answered once, and at the end nothing is held."""
    miner = Miner(make_shared(make_work(), max_workers=3))
    miner.open()
    said = miner.say(*messages)
    if not miner.closed:
        openings = [
            each for each in messages if isinstance(each, OpenStandardMiningChannel | OpenExtendedMiningChannel)
        ]
        assert sum("Open" in kind for kind in kinds(said)) == len(openings)
        shares = sum(isinstance(each, SubmitSharesStandard | SubmitSharesExtended) for each in messages)
        accepted = sum(each.new_submits_accepted_count for each in said if isinstance(each, SubmitSharesSuccess))
        assert accepted + kinds(said).count("SubmitSharesError") == shares
    assert len(miner.session.channels) <= 3
    miner.tick(1000.0)
    miner.publish(make_work(2, tip=2))
    miner.session.closed(0.0)
    assert len(miner.shared.table) == 0


@settings(max_examples=60)
@given(st.binary(min_size=64, max_size=200))
def test_no_first_bytes_break_a_session(data: bytes) -> None:
    session = V2Session(make_shared(make_work()), Identity(AUTHORITY, lambda: NOW), 0.0)
    output = session.receive(data, 0.0)
    assert len(output.data) == 234
    assert bool(output.close) == (len(data) >= 64 + 22)


# Certificates


def test_certificates_renew_themselves() -> None:
    now = [NOW]
    identity = Identity(AUTHORITY, lambda: now[0])

    def trusts(at: float) -> bool:
        client = V2Client(curve.public_x(AUTHORITY), lambda: at)
        act2, _ = identity.respond(client.act1)
        try:
            client.receive(act2)
        except BadValue:
            return False
        return client.is_secure

    for day in range(60):
        now[0] = NOW + day * 86_400
        assert trusts(now[0])
        assert trusts(now[0] - BEFORE_SECS + 10)
        assert trusts(now[0] + VALID_SECS / 2 - 10)
    now[0] = NOW - 365 * 86_400  # the clock was set back
    assert trusts(now[0])
    assert not trusts(now[0] + VALID_SECS + 10)


# Groups


@pytest.mark.parametrize(("vendor", "most"), [("NerdQAxe++", 2048), ("bitaxe", 8192)])
def test_a_groups_jobs_fit_into_the_frames_of_a_client(vendor: str, most: int) -> None:
    """The largest members are paid, as many as there is room for; and who opens a channel is credited."""
    members = tuple(((b"\x00\x14" + bytes([number]) * 20).hex(), str(10**12), 0) for number in range(240))
    branch = tuple(bytes([number]) * 32 for number in range(14))
    work = make_work(group=Standing(1, members), merkle_branch=branch, coinbase_value=312_500_000)
    shared = make_shared(work, payouts=_payouts, pay_to=PayTo.GROUP)
    address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    shared.scripts[address] = P2WPKH
    miner = Miner(shared)
    miner.open(extended(user=address), vendor=vendor, hardware_version="", firmware="")
    job = miner.work().job
    assert isinstance(job, NewExtendedMiningJob)
    payload = FORMS[NewExtendedMiningJob].encode(job)
    assert most * 0.8 < 22 + len(payload) + 16 <= most
    miner.hand_in(solve(miner.work()))
    assert set(shared.credits.take()) == {P2WPKH.hex()}
