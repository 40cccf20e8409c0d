"""What a miner makes of a job: the coinbase read back, headers as the server hashes them, the search for a nonce."""

from __future__ import annotations

import pytest

from solominer.chain.coinbase import build_coinbase
from solominer.chain.hashes import hash_to_int, sha256d
from solominer.chain.header import Header
from solominer.chain.script import push_height
from solominer.chain.transaction import Transaction, TxIn, TxOut
from solominer.engines.stratum.assignment import Assignment, ServerJob, height_of, read_coinbase, search
from solominer.errors import BadValue
from tests.data import load
from tests.engines.stratum.builders import P2WPKH, Client, make_shared, make_work


def assignment(coinbase1: bytes, coinbase2: bytes, *, extranonce1: bytes = b"\xa1\0\0\7", size: int = 8) -> Assignment:
    job = ServerJob("1", bytes(32), coinbase1, coinbase2, (), 0x20000000, 0x1D00FFFF, 1_800_000_000, True)
    return Assignment(job, 1.0, extranonce1, size, 0x1FFFE000)


def of(transaction: Transaction) -> Assignment:
    """A job whose halves make this transaction, cut behind four bytes of the script."""
    data = transaction.serialize()
    return assignment(data[:46], data[46:], extranonce1=b"", size=0)


def made(script_sig: bytes = b"\x03\x01\x02\x03", index: int = 0xFFFFFFFF, witness: bool = False) -> Transaction:
    return Transaction(
        2,
        (TxIn(bytes(32), index, script_sig, 0),),
        (TxOut(5, P2WPKH),),
        0,
        ((bytes(32),),) if witness else (),
    )


@pytest.mark.parametrize("height", [1, 16, 17, 127, 128, 255, 256, 32767, 32768, 900_000, 2**31 - 1])
def test_a_coinbase_of_ours(height: int) -> None:
    coinbase = build_coinbase(
        height=height,
        payouts=[TxOut(100, P2WPKH)],
        coinbase_value=100,
        commitment=sha256d(b""),
        extranonce_size=12,
        aux=b"\x01\x01",
    )
    view = read_coinbase(assignment(coinbase.prefix, coinbase.suffix))
    assert view.height == height
    assert view.size == len(coinbase.prefix) + 12 + len(coinbase.suffix)
    assert view.commits
    assert view.extranonce_in_script
    assert view.transaction.outputs == coinbase.outputs


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (assignment(b"", b""), "the halves make no transaction: "),
        (of(made(witness=True)), "the halves hold a witness"),
        (of(made(index=0)), "the coinbase's input spends another transaction"),
        (of(made(b"\x01")), "the coinbase's script has 1 bytes instead of 2 to 100"),
        (of(made(bytes(101))), "the coinbase's script has 101 bytes instead of 2 to 100"),
        (of(Transaction(2, made().inputs * 2, made().outputs, 0)), "the coinbase has 2 inputs"),
        (of(Transaction(2, made().inputs, (), 0)), "the coinbase has no outputs"),
        (assignment(made().serialize(), b""), "the halves make no transaction: 12 bytes behind the end"),
    ],
)
def test_coinbases_that_are_none(wrong: Assignment, why: str) -> None:
    with pytest.raises(BadValue) as raised:
        read_coinbase(wrong)
    assert raised.value.what.startswith(why)


def test_an_extranonce_outside_the_script() -> None:
    data = Transaction(2, made().inputs, (TxOut(0, b"\x6a\x0c" + bytes(12)),), 0).serialize()
    at = len(data) - 16
    view = read_coinbase(assignment(data[:at], data[at + 12 :]))
    assert not view.extranonce_in_script
    assert not view.commits


@pytest.mark.parametrize(
    "script", [b"", b"\x02\x01", b"\x02\x01\x00", b"\x01\x05", b"\x03\x01\x02\x83", b"\x61", b"\x4c\x01\x20"]
)
def test_no_height(script: bytes) -> None:
    assert height_of(script) is None


def test_heights() -> None:
    assert [height_of(push_height(height) + b"rest") for height in (0, 5, 840_000)] == [0, 5, 840_000]


def test_the_header_is_the_servers() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    params, header = client.mine(bits=0x2000)
    words = client.job
    job = ServerJob(
        words[0],
        header.prevhash_le,
        bytes.fromhex(words[2]),
        bytes.fromhex(words[3]),
        tuple(map(bytes.fromhex, words[4])),
        int(words[5], 16),
        int(words[6], 16),
        int(words[7], 16),
        True,
    )
    mine = Assignment(job, client.difficulty, client.extranonce1, 8, 0x1FFFE000)
    assert mine.rolled_bits() == 0x2000
    assert mine.header(bytes(8), 0x2000, int(params[3], 16)) == header
    nonce = search(mine.header(bytes(8), 0x2000), range(1000), mine.share_target)
    assert nonce == int(params[3], 16)


def test_bits_that_the_job_has_stay_set() -> None:
    """BIP 310's rule, and a server that ORs the bits in: both come to the same header."""
    job = ServerJob("1", bytes(32), b"", b"", (), 0x2000E000, 0x1D00FFFF, 0, True)
    rolling = Assignment(job, 1.0, b"", 4, 0x1FFFE000)
    assert rolling.rolled_bits() == 0x0001E000
    assert rolling.header(b"", rolling.rolled_bits()).version == 0x2001E000 == job.version | rolling.rolled_bits()
    fixed = Assignment(job, 1.0, b"", 4, 0)
    assert fixed.rolled_bits() == 0
    assert fixed.header(b"", 0).version == job.version


def test_the_search_finds_a_real_block() -> None:
    header = Header.unpack(bytes.fromhex(load("headers")[0]["header_hex"]))
    hash_int = hash_to_int(header.hash_le())
    assert search(header, range(header.nonce - 50, header.nonce + 50), hash_int) == header.nonce
    assert search(header, range(header.nonce, header.nonce + 1), hash_int - 1) is None
    assert search(header, range(header.nonce, header.nonce + 2), (1 << 256) - 1, hash_int) == header.nonce + 1
