"""From a pool's lines to a job and back: the header that we hash is the one that the pool makes of our share.

`pools_header` is the pool's side, from its lines and ours alone, with hashlib and nothing of this program.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.networks import MAINNET, REGTEST
from solominer.engines.pool.messages import Hit, Share, pack, take
from solominer.engines.pool.worker_job import WorkerJob
from solominer.engines.stratum.assignment import Assignment, read_job
from solominer.engines.stratum.client import StratumClient
from solominer.errors import BadValue
from solominer.upstream.jobs import HARDEST_TARGET, extranonce2_of, pool_job, salt_of
from tests.upstream.scripted import MAINNET_BITS, assignment_of, coinbase, notify

HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
WORD = st.integers(0, 0xFFFFFFFF)


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def pools_header(params: list[Any], extranonce1: bytes, mask: int, share: list[Any]) -> bytes:
    """The 80 bytes that a pool hashes for a mining.submit."""
    _, prevhash, coinbase1, coinbase2, branch, version, nbits, _, _ = params
    _, job_id, extranonce2, ntime, nonce, *bits = share
    assert job_id == params[0]
    root = sha256d(bytes.fromhex(coinbase1) + extranonce1 + bytes.fromhex(extranonce2) + bytes.fromhex(coinbase2))
    for node in branch:
        root = sha256d(root + bytes.fromhex(node))
    rolled = int(version, 16)
    if bits:
        rolled = rolled & ~mask | int(bits[0], 16) & mask
    words = bytes.fromhex(prevhash)
    parent = b"".join(words[at : at + 4][::-1] for at in range(0, 32, 4))
    fields = (bytes.fromhex(field)[::-1] for field in (ntime, nbits, nonce))
    return rolled.to_bytes(4, "little") + parent + root + b"".join(fields)


@given(
    job_id=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    height=st.integers(17, 4_000_000),
    extranonce1=st.binary(max_size=16),
    size=st.integers(4, 16),
    prevhash=HASHES,
    branch=st.lists(HASHES, max_size=14),
    version=WORD,
    mask=WORD.map(lambda mask: mask & 0x1FFFE000),
    ntime=st.integers(1, 0xFFFFFFFF),
    outputs=st.integers(1, 20),
    engine=st.binary(min_size=4, max_size=4),
    number=st.integers(0, 1 << 40),
    searched=WORD,
    nonce=WORD,
    bits=WORD,
)
def test_the_header_is_the_one_that_the_pool_makes_of_the_share(
    job_id: str, height: int, extranonce1: bytes, size: int, prevhash: str, branch: list[str], version: int,
    mask: int, ntime: int, outputs: int, engine: bytes, number: int, searched: int, nonce: int, bits: int,
) -> None:  # fmt: skip
    coinbase1, coinbase2 = coinbase(height, len(extranonce1) + size, outputs)
    params = notify(
        job_id, height, prevhash=prevhash, branch=branch, version=f"{version:08x}", ntime=f"{ntime:08x}",
        coinbase1=coinbase1, coinbase2=coinbase2,
    )["params"]  # fmt: skip
    assignment = Assignment(read_job(params), 1e-9, extranonce1, size, mask)
    job = pool_job(assignment, network=REGTEST, pool="the pool", job_id=7, number=number)
    assert job.template.height == height
    assert (job.space.ntime_min, job.space.ntime_max) == (ntime, ntime)
    assert not job.is_empty or not branch

    worker = WorkerJob.unpack(WorkerJob.of(job, engine).pack())
    extranonce = worker.extranonce(searched)
    assert worker.merkle_root_le(searched) == job.merkle_root_le(extranonce)
    (message,) = take(bytearray(pack(Share(Hit(7, extranonce, job.space.version, ntime, nonce, 0)))))
    assert isinstance(message, Share)
    assert message.hit.extranonce == extranonce == job.extranonce(engine, searched)

    rolled = job.space.version_with(bits)
    ours = job.header(extranonce, rolled, ntime, nonce).pack()
    client = StratumClient("test")
    line = client.submit("rig", assignment, extranonce2_of(assignment, extranonce), nonce, rolled & mask)[1]
    assert pools_header(params, extranonce1, mask, json.loads(line)["params"]) == ours


@pytest.mark.parametrize("size", range(4, 17))
def test_the_extranonce_is_divided_between_engine_salt_and_search(size: int) -> None:
    job = pool_job(assignment_of(size=size), network=REGTEST, pool="p", job_id=1, number=0x01020304)
    ours = min(size, 12)
    assert len(job.extranonce(b"abcd", 5)) == ours
    assert job.extranonce(b"abcd", 5)[-4:] == bytes((0, 0, 0, 5))
    salt = salt_of(0x01020304, ours)
    assert len(salt) == (ours - 4) // 2
    assert job.extranonce_prefix(b"abcd") == b"abcd"[4 - (ours - 4 - len(salt)) :] + salt
    if size >= 5:
        assert job.extranonce(b"abcd") != job.extranonce(b"abce"), "engines are apart"
    if size >= 6:
        assert salt_of(1, ours) != salt_of(2, ours), "and so are jobs"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 3}, "extranonce2 has 3 bytes, at least 4"),
        ({"difficulty": 2.0**300}, "no miner can meet its share difficulty of 2.03704e+90"),
        ({"difficulty": 1e300, "nbits": "03000001"}, "no miner can meet its share difficulty of 1e+300"),
        ({"coinbase1": "00"}, "make no transaction"),
        ({"coinbase2": ""}, "make no transaction"),
        ({"height": 1 << 48}, "does not begin with the height"),
        ({"ntime": "00000000"}, "ntime is 0"),
        ({"nbits": "2100ffff"}, "easier than the network's limit"),
    ],
)
def test_what_cannot_be_mined_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadValue, match=said.replace("+", r"\+")):
        pool_job(assignment_of(**({"difficulty": 1e9} | changes)), network=REGTEST, pool="p", job_id=1, number=1)


def test_a_coinbase_that_does_not_fit_the_workers_is_refused() -> None:
    coinbase1, _ = coinbase(200, 12, tail=b"")
    output = bytes(8) + b"\xfe" + (70_000).to_bytes(4, "little") + b"\x6a" * 70_000
    coinbase2 = (b"\xff" * 4 + b"\1" + output + bytes(4)).hex()
    with pytest.raises(BadValue, match="the maximum is 60000"):
        pool_job(assignment_of(coinbase1=coinbase1, coinbase2=coinbase2), network=REGTEST, pool="p", job_id=1, number=1)


def test_an_easy_chain_is_mainnet_only_by_mistake() -> None:
    with pytest.raises(BadValue, match="easier than the network's limit"):
        pool_job(assignment_of(), network=MAINNET, pool="p", job_id=1, number=1)


def test_a_block_meets_the_share_target_even_where_shares_are_harder() -> None:
    hard = pool_job(assignment_of(difficulty=1e6), network=REGTEST, pool="p", job_id=1, number=1)
    assert hard.share_target == hard.template.target
    usual = pool_job(
        assignment_of(difficulty=1024.0, nbits=MAINNET_BITS), network=MAINNET, pool="p", job_id=1, number=1
    )
    assert usual.template.target < usual.share_target == (0xFFFF << 208) // 1024
    assert usual.template.target > HARDEST_TARGET


def test_bits_outside_of_bip_320_are_not_rolled() -> None:
    job = pool_job(assignment_of(mask=0xFFFFFFFF), network=REGTEST, pool="p", job_id=1, number=1)
    assert job.space.version_mask == 0x1FFFE000
    assert "of p" in job.describe()


@pytest.mark.parametrize(("size", "engines", "refused"), [(4, 1, False), (4, 2, True), (5, 2, False), (3, 1, True)])
def test_two_engines_are_told_apart_or_the_pool_is_refused(size: int, engines: int, refused: bool) -> None:
    """Else both would search the same headers."""
    assignment = assignment_of(size=size)
    if refused:
        with pytest.raises(BadValue, match=f"extranonce2 has {size} bytes"):
            pool_job(assignment, network=REGTEST, pool="p", job_id=1, number=1, engines=engines)
        return
    job = pool_job(assignment, network=REGTEST, pool="p", job_id=1, number=1, engines=engines)
    prefixes = {job.extranonce_prefix(bytes(3) + bytes([number])) for number in range(engines)}
    assert len(prefixes) == engines
