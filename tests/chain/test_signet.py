"""Signet's made-up transactions and the place of the solution, against BIP 325 byte by byte; the real node judges the
rest in tests/e2e/test_operate_signet.py.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.coinbase import COMMITMENT_HEADER, Coinbase, build_coinbase
from solominer.chain.hashes import sha256d
from solominer.chain.serialize import Reader
from solominer.chain.signet import (
    PUBLIC_CHALLENGE,
    SIGNET_HEADER,
    block_data,
    is_taproot,
    is_trivial,
    psbt,
    solution_of,
    to_sign,
    to_spend,
    with_solution,
)
from solominer.chain.transaction import Transaction, TxOut, parse_transaction
from solominer.errors import BadValue

CHALLENGE = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")
DATA = block_data(0x20000000, b"\x01" * 32, b"\x02" * 32, 0x5F5E1003)


def coinbase() -> Coinbase:
    return build_coinbase(
        height=17,
        payouts=[TxOut(5_000_000_000, CHALLENGE)],
        coinbase_value=5_000_000_000,
        commitment=bytes(32),
        extranonce_size=8,
        tag=b"/test/",
    )


def test_block_data_is_72_bytes_in_header_order() -> None:
    assert struct.pack("<I", 0x20000000) + b"\x01" * 32 + b"\x02" * 32 + struct.pack("<I", 0x5F5E1003) == DATA
    assert len(DATA) == 72


def test_the_two_transactions() -> None:
    spent = to_spend(CHALLENGE, DATA)
    assert spent.stripped() == (
        bytes(4) + b"\x01" + bytes(32) + b"\xff" * 4 + b"\x4a\x00\x48" + DATA + bytes(4)
        + b"\x01" + bytes(8) + b"\x16" + CHALLENGE + bytes(4)
    )  # fmt: skip
    spending = to_sign(spent)
    assert spending.stripped() == (
        bytes(4) + b"\x01" + sha256d(spent.stripped()) + bytes(4) + b"\x00" + bytes(4)
        + b"\x01" + bytes(8) + b"\x01\x6a" + bytes(4)
    )  # fmt: skip


def test_challenges_are_told_apart() -> None:
    assert is_trivial(b"\x51")
    assert not is_trivial(CHALLENGE)
    assert not is_trivial(b"\x51\x51")
    assert is_taproot(b"\x51\x20" + bytes(32))
    assert not is_taproot(PUBLIC_CHALLENGE)
    assert len(PUBLIC_CHALLENGE) == 71


@given(st.binary(max_size=200), st.lists(st.binary(max_size=200), max_size=5))
def test_solution_is_script_and_stack(script_sig: bytes, stack: list[bytes]) -> None:
    unsigned = to_sign(to_spend(CHALLENGE, DATA))
    txin = unsigned.inputs[0]._replace(script_sig=script_sig)
    signed = Transaction(0, (txin,), unsigned.outputs, 0, (tuple(stack),) if stack else ())
    reader = Reader(solution_of(signed))
    assert reader.sized() == script_sig
    assert [reader.sized() for _ in range(reader.compact_size())] == stack
    reader.finish()


@given(st.binary(max_size=600))
def test_solution_goes_behind_the_commitment_and_comes_out_again(solution: bytes) -> None:
    plain = coinbase()
    extranonce = bytes(8)
    room, solved = with_solution(plain, b""), with_solution(plain, solution)
    assert with_solution(solved, b"") == room
    transaction = parse_transaction(solved.serialize(extranonce))
    script = transaction.outputs[-1].script_pubkey
    assert script[:6] == COMMITMENT_HEADER
    assert script[:38] == plain.outputs[-1].script_pubkey
    assert SIGNET_HEADER + solution in script[38:]
    assert transaction.weight() == solved.weight
    assert transaction.outputs[:-1] == plain.outputs[:-1]
    assert (transaction.locktime, transaction.inputs) == (16, parse_transaction(plain.serialize(extranonce)).inputs)


def test_solution_that_nobody_could_push() -> None:
    with pytest.raises(BadValue, match="too many to push"):
        with_solution(coinbase(), bytes(70_000))


def test_psbt_has_what_a_wallet_needs() -> None:
    spent = to_spend(CHALLENGE, DATA)
    raw = psbt(CHALLENGE, DATA)
    assert raw.startswith(b"psbt\xff\x01\x00")
    assert spent.stripped() in raw
    assert to_sign(spent).stripped() in raw
    assert raw.count(b"\x01\x03\x04\x01\x00\x00\x00") == 1
    assert raw.endswith(b"\x00\x00")
    taproot = b"\x51\x20" + bytes(32)
    assert b"\x01\x03\x04" not in psbt(taproot, DATA)
