"""The messages between head and nodes: each comes back as it was, and whatever else arrives is refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.engines.cluster import messages
from solominer.engines.cluster.messages import (
    Beat,
    JobMessage,
    JoinRequest,
    Lease,
    Notice,
    Refusal,
    ShareMessage,
    WorkerBeat,
    answer_to_join,
    own_job,
)
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import DecodeError, printable
from solominer.work.job import HeaderSpace

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
TEXT = st.text(max_size=20).map(printable)
NAME = st.from_regex(r"[a-z0-9]{1,20}|stratum/[ -~]{1,60}", fullmatch=True)
HASH = st.binary(min_size=32, max_size=32)
TARGET = st.integers(0, 2**256 - 1)
INCARNATION = st.binary(min_size=16, max_size=16)

JOBS = st.builds(
    WorkerJob,
    job_id=U64,
    extranonce_prefix=st.binary(min_size=8, max_size=8),
    coinbase_prefix=st.binary(max_size=300),
    coinbase_suffix=st.binary(max_size=300),
    merkle_branch=st.lists(HASH, max_size=13).map(tuple),
    prevhash_le=HASH,
    nbits=U32,
    space=st.builds(HeaderSpace, U32, U32, U32, U32),
    share_target=TARGET,
    network_target=TARGET,
    park_on_block=st.booleans(),
)
JOB_MESSAGES = st.builds(JobMessage, U64, U64, st.none() | JOBS, U32, st.integers(0, 10_000).map(lambda n: n / 10_000))
SHARES = st.builds(
    ShareMessage,
    run=U64,
    job_id=U64,
    extranonce=st.binary(min_size=12, max_size=12),
    version=U32,
    ntime=U32,
    nonce=U32,
    is_block=st.booleans(),
    worker=NAME,
    kernel=TEXT,
    position=st.none() | st.integers(0, 2**64 - 2),
)
WORKERS = st.builds(
    WorkerBeat,
    name=NAME,
    kernel=TEXT,
    state=st.sampled_from(messages.STATES),
    hashes=U64,
    rate_hps=st.floats(0, 1e20),
    shares=U64,
    millidegrees=st.integers(-(2**31), 2**31 - 1),
    credited=st.floats(0, 1e27),
)
BEATS = st.builds(Beat, U64, INCARNATION, U32, st.lists(WORKERS, max_size=5).map(tuple))
REQUESTS = st.builds(JoinRequest, INCARNATION, TEXT, TEXT)
LEASES = st.builds(Lease, U64, U32, st.integers(1, 2**32 - 1), st.integers(1, 60_000).map(lambda ms: ms / 1000), TEXT)

ANY = st.one_of(JOB_MESSAGES, SHARES, BEATS, REQUESTS, LEASES, st.sampled_from(Notice))


@given(ANY)
def test_what_is_packed_comes_back(message: JobMessage | ShareMessage | Beat | JoinRequest | Lease | Notice) -> None:
    assert type(message).unpack(message.pack()) == message


@settings(max_examples=50)
@given(ANY, st.data())
def test_what_is_cut_or_too_long_is_refused(
    message: JobMessage | ShareMessage | Beat | JoinRequest | Lease | Notice, data: st.DataObject
) -> None:
    packed = message.pack()
    end = data.draw(st.integers(0, len(packed) - 1))
    for bad in (packed[:end], packed + b"\0"):
        with pytest.raises(DecodeError):
            type(message).unpack(bad)


@settings(max_examples=50)
@given(ANY, st.data())
def test_foreign_bytes_never_raise_anything_but_a_decode_error(
    message: JobMessage | ShareMessage | Beat | JoinRequest | Lease | Notice, data: st.DataObject
) -> None:
    packed = bytearray(message.pack())
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    for kind in (JobMessage, ShareMessage, Beat, JoinRequest, Lease, Notice):
        with suppress(DecodeError):
            kind.unpack(bytes(packed))


@given(SHARES)
def test_copies_of_a_share_have_one_id_and_other_headers_have_another(share: ShareMessage) -> None:
    assert replace(share, kernel="other", worker="cpu7").message_id == share.message_id
    others = [replace(share, nonce=share.nonce ^ 1), replace(share, run=share.run ^ 1), replace(share, job_id=1 << 63)]
    assert share.message_id not in [other.message_id for other in others if other != share]


def test_texts_of_another_machine_are_shown_on_terminals() -> None:
    request = JoinRequest.unpack(JoinRequest(bytes(16), "regtest", "x\x1b[2J\n\u202e").pack())
    assert request.program == "x\\x1b[2J\\n\\u202e"


def test_a_message_of_another_version_says_what_to_do() -> None:
    with pytest.raises(DecodeError, match="same version of solominer on the head"):
        Notice.unpack(b"\x02\x07\x01")
    with pytest.raises(DecodeError, match="in the place of a notice"):
        Notice.unpack(b"\x01\x06\x01")
    with pytest.raises(DecodeError, match="unknown notice"):
        Notice.unpack(b"\x01\x07\x09")


def test_newer_runs_come_before_numbers() -> None:
    old, new = JobMessage(7, 900, None, 60), JobMessage(8, 1, None, 60)
    assert new.order > old.order > JobMessage(7, 899, None, 60).order


def test_a_refusal_is_told_from_a_lease_and_a_long_reason_is_cut_between_letters() -> None:
    assert answer_to_join(Lease(1, 2, 3, 1.0, "regtest").pack()) == Lease(1, 2, 3, 1.0, "regtest")
    answer = answer_to_join(Refusal("é" * 200).pack())
    assert answer == Refusal("é" * 127)
    with pytest.raises(DecodeError, match="a lease of nothing"):
        answer_to_join(Lease(1, 2, 0, 1.0, "regtest").pack())


@given(JOBS)
def test_a_node_puts_its_own_extranonce1_before_the_salt(job: WorkerJob) -> None:
    own = own_job(job, b"\1\2\3\4")
    assert own.extranonce_prefix == b"\1\2\3\4" + job.extranonce_prefix[4:]
    assert own.coinbase_prefix == job.coinbase_prefix
