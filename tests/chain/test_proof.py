"""Proofs as data: real mainnet blocks from public data verify as far as the data reaches, and every lie is found.

The vectors hold headers of real blocks, for some of them all txids, and one whole regtest block. Each proof is checked
by `chain.proof` and by the stand-alone `scripts/verify.py`, which share no code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.hashes import ZERO_HASH, coinbase_branch, from_rpc_hex, merkle_root
from solominer.chain.proof import check_block, make_proof, read_block, verify_proof
from solominer.errors import DecodeError
from tests.data import load
from tests.records.standalone import standalone

NETWORK_OF = {"main": "mainnet", "test": "testnet3"}
HEADERS = load("headers")
TXIDS = {vector["root_rpc"]: vector["txids_rpc"] for vector in load("merkle") if not vector["mutated"]}

# The genesis coinbase, as any node gives it: getblock 000000000019d6... 0
GENESIS_COINBASE = (
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d"
    "65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f7220"
    "62616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f"
    "4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)


def proof_of(vector: dict[str, Any]) -> dict[str, Any]:
    """The proof of a block from what the vectors have of it."""
    txids = [from_rpc_hex(txid) for txid in TXIDS.get(vector["merkleroot_rpc"], [])]
    return make_proof(
        kind="block",
        network=NETWORK_OF.get(vector["chain"], vector["chain"]),
        height=vector["height"],
        header=bytes.fromhex(vector["header_hex"]),
        coinbase_txid_le=txids[0] if txids else None,
        merkle_branch=coinbase_branch(txids[1:]) if txids else None,
    )


def whole_block_proof() -> dict[str, Any]:
    """The proof of a block with 27 transactions that a node accepted."""
    vector = load("template_and_block")
    raw = bytes.fromhex(vector["block_hex"])
    coinbase, *others = read_block(raw)
    return make_proof(
        kind="block",
        network="regtest",
        height=vector["gbt"]["height"],
        header=raw[:80],
        coinbase=coinbase.serialize(),
        merkle_branch=coinbase_branch([tx.txid_le() for tx in others]),
        witness_root_le=merkle_root([ZERO_HASH, *(tx.wtxid_le() for tx in others)]),
        template={"reward_sats": vector["gbt"]["coinbasevalue"]},
    )


def both_hold(proof: dict[str, Any], tmp_path: Path) -> bool:
    """The one answer of both verifiers."""
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(proof))
    ours, alone = verify_proof(proof).holds, standalone(file).holds
    assert ours == alone
    return ours


@pytest.mark.parametrize("vector", HEADERS, ids=[f"{v['chain']}-{v['name']}" for v in HEADERS])
def test_real_blocks_verify(vector: dict[str, Any], tmp_path: Path) -> None:
    proof = proof_of(vector)
    assert proof["hash"] == vector["hash_rpc"]
    assert both_hold(proof, tmp_path)


def test_real_blocks_with_all_txids_are_led_to_their_merkle_root() -> None:
    led = [proof["height"] for proof in map(proof_of, HEADERS) if "merkle_branch_hex" in proof]
    assert {0, 170, 100_000, 125_552} <= set(led)
    findings = verify_proof(proof_of(next(v for v in HEADERS if v["height"] == 125_552)))
    assert any("branch (2 hashes) match" in what for what in findings.checked)
    assert any("has only its txid" in what for what in findings.unchecked)


def test_what_the_data_does_not_reach_is_said() -> None:
    findings = verify_proof(proof_of(next(v for v in HEADERS if v["height"] == 840_000)))
    assert findings.holds
    assert any("coinbase or Merkle branch is missing" in what for what in findings.unchecked)


def test_genesis_with_its_real_coinbase(tmp_path: Path) -> None:
    header = bytes.fromhex(HEADERS[0]["header_hex"])
    coinbase = bytes.fromhex(GENESIS_COINBASE)
    proof = make_proof(kind="block", network="mainnet", height=0, header=header, coinbase=coinbase, merkle_branch=[])
    assert both_hold(proof, tmp_path)
    proof["merkle_branch_hex"] = ["00" * 32]
    assert not both_hold(proof, tmp_path)


def test_a_whole_block_is_checked_in_everything(tmp_path: Path) -> None:
    proof = whole_block_proof()
    assert both_hold(proof, tmp_path)
    checked = " / ".join(verify_proof(proof).checked)
    for what in (
        "hashes to the stated hash",
        "network's target",
        "Merkle root",
        "height 261",
        "witness root",
        "satoshis",
    ):
        assert what in checked


@pytest.mark.parametrize(
    "lie",
    [
        {"hash": "00" * 32},
        {"network": "mainnet"},
        {"height": 262},
        {"target_hex": "00" * 31 + "01"},
        {"expected_hashes": "3"},
        {"witness_root_hex": "11" * 32},
        {"merkle_branch_hex": []},
        {"kind": "share", "share_target_hex": "00" * 31 + "01"},
        {"kind": "rumour"},
        {"coinbase_hex": "00"},
        {"header_hex": "00" * 79},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_lies_are_found(lie: dict[str, Any], tmp_path: Path) -> None:
    assert not both_hold({**whole_block_proof(), **lie}, tmp_path)


@pytest.mark.parametrize(
    "lie",
    [{"schema": "other/1"}, {"template": {"reward_sats": 1}}, {"network": "moon"}, {"merkle_branch_hex": [5]}],
    ids=lambda lie: next(iter(lie)),
)
def test_lies_that_only_the_package_looks_for(lie: dict[str, Any]) -> None:
    assert not verify_proof({**whole_block_proof(), **lie}).holds


def test_a_missing_field_is_named() -> None:
    proof = whole_block_proof()
    del proof["header_hex"]
    assert verify_proof(proof).wrong == ["header_hex is missing"]


def test_a_block_is_whole_or_says_where_it_is_not() -> None:
    raw = bytes.fromhex(load("template_and_block")["block_hex"])
    check_block(raw)
    in_a_witness = len(raw) - 10  # the last transaction's signature: no txid covers it
    for position, reason in ((36, "Merkle root"), (in_a_witness, "commitment")):
        broken = bytearray(raw)
        broken[position] ^= 1
        with pytest.raises(DecodeError, match=reason):
            check_block(bytes(broken))
    for cut in (len(raw) - 1, 100, 80):
        with pytest.raises(DecodeError):
            check_block(raw[:cut])
