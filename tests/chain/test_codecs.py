"""Codecs of chain/: what is written is read back, and damaged bytes are told apart (Hypothesis)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.coinbase import COMMITMENT_HEADER, build_coinbase, commitment_of
from solominer.chain.hashes import coinbase_branch, from_rpc_hex, merkle_root, root_from_branch, to_rpc_hex
from solominer.chain.header import Header
from solominer.chain.script import (
    PayoutType,
    is_on_curve_x,
    legacy_sigops,
    operations,
    payout_type,
    push,
    push_int,
)
from solominer.chain.serialize import MAX_SIZE, Reader, compact_size, int64_le, sized, uint32_le
from solominer.chain.target import (
    HASH_SPACE,
    decode_compact,
    difficulty,
    encode_compact,
    expected_hashes,
    target_from_difficulty,
)
from solominer.chain.transaction import Transaction, TxIn, TxOut, parse_transaction
from solominer.errors import BadValue, PayoutError, TrailingData, Truncated

uint32 = st.integers(0, 2**32 - 1)
hashes = st.binary(min_size=32, max_size=32)
scripts = st.binary(max_size=300)


@given(st.integers(0, MAX_SIZE))
def test_compact_size_round_trip(value: int) -> None:
    reader = Reader(compact_size(value))
    assert reader.compact_size() == value
    reader.finish()


@pytest.mark.parametrize("raw", ["fdfc00", "feffff0000", "ffffffffff00000000"])
def test_compact_size_must_be_minimal(raw: str) -> None:
    with pytest.raises(BadValue, match="non-minimal"):
        Reader(bytes.fromhex(raw)).compact_size()


def test_compact_size_is_bounded() -> None:
    with pytest.raises(BadValue, match="over the limit"):
        Reader(compact_size(MAX_SIZE + 1)).compact_size()
    for value in (-1, 1 << 64):
        with pytest.raises(BadValue):
            compact_size(value)
    assert len(compact_size(1 << 32)) == 9


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_uint32_is_bounded(value: int) -> None:
    with pytest.raises(BadValue):
        uint32_le(value)


@pytest.mark.parametrize("value", [-1, 1 << 63])
def test_amounts_are_bounded(value: int) -> None:
    with pytest.raises(BadValue):
        int64_le(value)


@given(st.binary(max_size=600), st.integers(0, 600))
def test_sized_data_is_read_back_and_truncation_told(data: bytes, cut: int) -> None:
    raw = sized(data)
    assert Reader(raw).sized() == data
    if cut < len(raw):
        with pytest.raises(Truncated):
            Reader(raw[:cut]).sized()


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    inputs = draw(st.lists(st.builds(TxIn, hashes, uint32, scripts, uint32), min_size=1, max_size=4))
    outputs = draw(st.lists(st.builds(TxOut, st.integers(0, 2**62), scripts), max_size=4))
    witness = draw(st.lists(st.lists(scripts, max_size=3).map(tuple), min_size=len(inputs), max_size=len(inputs)))
    return Transaction(
        draw(uint32), tuple(inputs), tuple(outputs), draw(uint32), tuple(witness) if any(witness) else ()
    )


@given(transactions())
def test_transactions_round_trip(tx: Transaction) -> None:
    assert parse_transaction(tx.serialize()) == tx
    if tx.witness:
        assert tx.wtxid_le() != tx.txid_le()
        assert tx.weight() < 4 * len(tx.serialize())
    else:
        assert tx.wtxid_le() == tx.txid_le()
        assert tx.weight() == 4 * len(tx.serialize())


@given(transactions(), st.data())
def test_damaged_transactions_are_refused(tx: Transaction, data: st.DataObject) -> None:
    raw = tx.serialize()
    with pytest.raises(TrailingData):
        parse_transaction(raw + b"\0")
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises((Truncated, TrailingData, BadValue)):
        parse_transaction(raw[:cut])


@pytest.mark.parametrize(
    "raw",
    [
        "01000000" + "00" + "00" + "00000000",  # no inputs, no witness
        "01000000" + "0002",  # unknown flag
        "01000000" + "0001" + "00" + "00" + "00000000",  # a witness flag and still no inputs
        "01000000" + "0001" + "01" + "00" * 36 + "00" + "ffffffff" + "00" + "00" + "00000000",  # empty witness
    ],
)
def test_transactions_that_no_node_would_read(raw: str) -> None:
    with pytest.raises(BadValue):
        parse_transaction(bytes.fromhex(raw))


@given(uint32, hashes, hashes, uint32, uint32, uint32)
def test_headers_round_trip(version: int, prev: bytes, root: bytes, ntime: int, nbits: int, nonce: int) -> None:
    header = Header(version, prev, root, ntime, nbits, nonce)
    assert Header.unpack(header.pack()) == header
    with pytest.raises(Truncated):
        Header.unpack(header.pack()[:-1])
    with pytest.raises(TrailingData):
        Header.unpack(header.pack() + b"\0")


def test_header_fields_are_bounded() -> None:
    with pytest.raises(BadValue):
        Header(0, bytes(32), bytes(32), 1 << 32, 0, 0).pack()


@given(hashes)
def test_rpc_hex_round_trip(hash_le: bytes) -> None:
    assert from_rpc_hex(to_rpc_hex(hash_le)) == hash_le


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33, "0 " * 32])
def test_rpc_hex_is_checked(text: str) -> None:
    with pytest.raises(BadValue):
        from_rpc_hex(text)


@given(st.integers(0, HASH_SPACE - 1))
def test_compact_form_keeps_the_leading_digits(target: int) -> None:
    decoded = decode_compact(encode_compact(target))
    assert decoded <= target
    assert target - decoded < max(1, target >> 15)
    assert encode_compact(decoded) == encode_compact(target)


@given(st.floats(1e-6, 1e20))
def test_target_of_a_difficulty_is_at_least_as_hard(value: float) -> None:
    target = target_from_difficulty(value)
    assert difficulty(target) >= value * (1 - 1e-12)
    assert difficulty(target + 1) <= value * (1 + 1e-9) or target == HASH_SPACE - 1


def test_bounds_of_targets() -> None:
    with pytest.raises(BadValue):
        target_from_difficulty(0)
    with pytest.raises(BadValue):
        encode_compact(HASH_SPACE)
    with pytest.raises(BadValue):
        decode_compact(1 << 32)
    assert expected_hashes(HASH_SPACE - 1) == 1
    assert expected_hashes(0xFFFF << 208) == 4_295_032_833


@given(st.lists(hashes, min_size=1, max_size=40, unique=True))
def test_a_branch_leads_to_the_root(leaves: list[bytes]) -> None:
    assert root_from_branch(leaves[0], coinbase_branch(leaves[1:])) == merkle_root(leaves)


def test_merkle_refuses_what_hides_a_duplicate() -> None:
    a, b, c = (bytes([i]) * 32 for i in range(3))
    for leaves in ([a, b, c, c], [a, a], [a, b, a, b]):
        with pytest.raises(BadValue):
            merkle_root(leaves)
    with pytest.raises(BadValue):
        coinbase_branch([b, c, c])
    with pytest.raises(BadValue):
        merkle_root([])


@given(st.binary(max_size=700))
def test_pushes_are_read_back(data: bytes) -> None:
    assert list(operations(push(data))) == [(push(data)[0], data)]


@given(st.binary(max_size=80))
def test_reading_any_script_ends(script: bytes) -> None:
    assert legacy_sigops(script) >= 0
    assert sum(1 for _ in operations(script)) <= len(script)


def test_pushes_are_bounded() -> None:
    with pytest.raises(BadValue):
        push(bytes(0x10000))
    with pytest.raises(BadValue):
        push_int(-1)
    assert push(bytes(0x100))[:3] == b"\x4d\x00\x01"


def test_sigops_as_core_counts_them() -> None:
    assert legacy_sigops(bytes.fromhex("76a914" + "00" * 20 + "88ac")) == 1
    assert legacy_sigops(bytes.fromhex("5121" + "02" * 33 + "51ae")) == 20
    assert legacy_sigops(bytes.fromhex("0014" + "ac" * 20)) == 0
    assert legacy_sigops(bytes.fromhex("ad4c05ac")) == 1  # the push runs past the end: nothing counts behind it


PAYOUTS = {
    PayoutType.P2PKH: "76a914" + "11" * 20 + "88ac",
    PayoutType.P2SH: "a914" + "11" * 20 + "87",
    PayoutType.P2WPKH: "0014" + "11" * 20,
    PayoutType.P2WSH: "0020" + "11" * 32,
    PayoutType.P2TR: "5120" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
}


@pytest.mark.parametrize(("expected", "script"), PAYOUTS.items())
def test_payout_types(expected: PayoutType, script: str) -> None:
    assert payout_type(bytes.fromhex(script)) is expected


@pytest.mark.parametrize(
    "script",
    [
        "",
        "6a",
        "5220" + "11" * 32,  # witness version 2
        "51024e73",  # pay to anchor
        "5120" + "ff" * 32,  # x above the field
        "5120" + "00" * 31 + "05",  # x on no point of the curve
        "0014" + "11" * 21,
        "21" + "02" * 33 + "ac",  # pay to public key
        "0015" + "11" * 21,
    ],
)
def test_payouts_that_would_lose_the_money(script: str) -> None:
    with pytest.raises(PayoutError):
        payout_type(bytes.fromhex(script))


def test_half_of_all_x_are_on_the_curve() -> None:
    on_curve = sum(is_on_curve_x(value.to_bytes(32, "big")) for value in range(1, 2001))
    assert 900 < on_curve < 1100


@given(st.integers(1, 10_000_000), st.binary(max_size=60), st.integers(1, 12), hashes)
def test_coinbase_form(height: int, tag: bytes, extranonce_size: int, root: bytes) -> None:
    payout = TxOut(5_000_000_000, bytes.fromhex(PAYOUTS[PayoutType.P2WPKH]))
    coinbase = build_coinbase(
        height=height,
        payouts=[payout],
        coinbase_value=payout.value_sats,
        commitment=commitment_of(root),
        extranonce_size=extranonce_size,
        tag=tag,
    )
    extranonce = bytes(range(1, extranonce_size + 1))
    tx = parse_transaction(coinbase.serialize(extranonce))
    assert tx.stripped() == coinbase.stripped(extranonce)
    assert tx.txid_le() == coinbase.txid_le(extranonce)
    assert tx.weight() == coinbase.weight
    assert (tx.locktime, tx.inputs[0].sequence) == (height - 1, 0xFFFFFFFE)
    assert tx.outputs[0] == payout
    assert tx.outputs[-1].script_pubkey.startswith(COMMITMENT_HEADER)
    assert tx.witness == ((bytes(32),),)
    assert 2 <= len(tx.inputs[0].script_sig) <= 100
    assert extranonce in tx.inputs[0].script_sig


def test_coinbases_that_would_be_refused_or_burn_money() -> None:
    out = TxOut(100, b"\x51")
    good = {
        "height": 5, "payouts": [out], "coinbase_value": 100, "commitment": bytes(32), "extranonce_size": 8
    }  # fmt: skip
    assert build_coinbase(**good).extranonce_size == 8  # type: ignore[arg-type]
    changes: tuple[dict[str, object], ...] = (
        {"coinbase_value": 101},
        {"coinbase_value": 99},
        {"payouts": []},
        {"payouts": [TxOut(101, b""), TxOut(-1, b"")]},
        {"tag": b"x" * 99},
        {"extranonce_size": 0},
    )
    for change in changes:
        with pytest.raises(BadValue):
            build_coinbase(**{**good, **change})  # type: ignore[arg-type]
    with pytest.raises(BadValue):
        build_coinbase(**good).stripped(bytes(7))  # type: ignore[arg-type]
    # Exactly 100 bytes are allowed: height, extranonce with its length, and a tag behind a two-byte push.
    full = build_coinbase(**{**good, "tag": b"x" * (100 - 1 - 9 - 2)})  # type: ignore[arg-type]
    assert full.prefix[41] == 100
