"""Every public vector of chain/: hashes, heights, targets, Merkle trees, commitments, subsidies, whole blocks.

The files in tests/vectors/ say where each figure comes from: real blocks, Bitcoin Core's own tests, or a real node.
"""

from __future__ import annotations

import csv
from typing import Any

import pytest

from solominer.chain.coinbase import build_coinbase, commitment_of, commitment_output
from solominer.chain.hashes import (
    ZERO_HASH,
    coinbase_branch,
    from_rpc_hex,
    hash_to_int,
    merkle_root,
    root_from_branch,
    sha256d,
    to_rpc_hex,
    witness_commitment,
)
from solominer.chain.header import Header, assemble_block_hex, block_weight, meets_target
from solominer.chain.networks import NETWORKS
from solominer.chain.script import push_height
from solominer.chain.target import decode_compact, difficulty, encode_compact, proof_target
from solominer.chain.transaction import TxOut, parse_transaction
from solominer.errors import BadValue
from tests.data import FOLDER, load


@pytest.mark.parametrize("case", load("headers"), ids=lambda case: str(case["name"]))
def test_real_headers(case: dict[str, Any]) -> None:
    header = Header.unpack(bytes.fromhex(case["header_hex"]))
    assert to_rpc_hex(header.hash_le()) == case["hash_rpc"]
    assert header.pack().hex() == case["header_hex"]
    assert (header.version & 0xFFFFFFFF, header.ntime, header.nonce) == (
        case["version"] & 0xFFFFFFFF,
        case["time"],
        case["nonce"],
    )
    assert to_rpc_hex(header.prevhash_le) == case["prevhash_rpc"]
    assert to_rpc_hex(header.merkle_root_le) == case["merkleroot_rpc"]
    assert f"{header.nbits:08x}" == case["bits"]
    target = decode_compact(header.nbits)
    assert meets_target(header.hash_le(), target)
    assert not meets_target(header.hash_le(), hash_to_int(header.hash_le()) - 1)
    assert difficulty(target) == pytest.approx(case["difficulty"], rel=1e-9)


@pytest.mark.parametrize("case", load("bip34_height_push")["vectors"], ids=lambda case: str(case["height"]))
def test_heights_are_pushed_as_the_node_reads_them(case: dict[str, Any]) -> None:
    assert push_height(case["height"]).hex() == case["push_hex"]


@pytest.mark.parametrize("case", load("bits_target_difficulty")["setcompact"], ids=lambda case: str(case["bits"]))
def test_compact_targets(case: dict[str, Any]) -> None:
    nbits = int(case["bits"], 16)
    if case["negative"] or case["overflow"]:
        with pytest.raises(BadValue):
            decode_compact(nbits)
        return
    target = decode_compact(nbits)
    assert f"{target:064x}" == case["target"]
    assert f"{encode_compact(target):08x}" == case["canonical_bits"]
    acceptable = bool(case["acceptable_target"])
    if target == 0:
        assert not acceptable
        with pytest.raises(BadValue):
            proof_target(nbits, (1 << 255) - 1)


def test_a_mantissa_with_its_top_bit_set_moves_one_byte_up() -> None:
    assert encode_compact(0x80) == 0x02008000


@pytest.mark.parametrize("nbits", [0x04923456, 0xFF123456, 0x01003456, 0x2100FFFF])
def test_targets_that_no_block_may_have(nbits: int) -> None:
    for network in NETWORKS.values():
        with pytest.raises(BadValue):
            proof_target(nbits, network.pow_limit)


@pytest.mark.parametrize("case", load("bits_target_difficulty")["difficulty"], ids=lambda case: str(case["bits"]))
def test_difficulty(case: dict[str, Any]) -> None:
    if case["negative"] or case["overflow"]:
        with pytest.raises(BadValue):
            decode_compact(int(case["bits"], 16))
        return
    target = decode_compact(int(case["bits"], 16))
    assert f"{target:064x}" == case["target"]
    assert difficulty(target) == pytest.approx(case["difficulty"], rel=1e-9)


def test_difficulty_of_every_mainnet_period() -> None:
    with (FOLDER / "mainnet_difficulty_epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 473
    for row in rows:
        nbits = int(row["nbits_hex"], 16)
        assert encode_compact(decode_compact(nbits)) == nbits
        assert difficulty(decode_compact(nbits)) == pytest.approx(float(row["difficulty"]), rel=1e-6)


@pytest.mark.parametrize("case", load("merkle"), ids=lambda case: str(case["name"]))
def test_merkle_trees(case: dict[str, Any]) -> None:
    leaves = [from_rpc_hex(txid) for txid in case["txids_rpc"]]
    if case["mutated"]:
        with pytest.raises(BadValue, match="CVE-2012-2459"):
            merkle_root(leaves)
        return
    assert to_rpc_hex(merkle_root(leaves)) == case["root_rpc"]
    branch = coinbase_branch(leaves[1:])
    assert [node.hex() for node in branch] == case["coinbase_branch_internal"]
    assert root_from_branch(leaves[0], branch) == merkle_root(leaves)


@pytest.mark.parametrize("case", load("witness_commitment")[:2], ids=lambda case: str(case["name"]))
def test_witness_commitments(case: dict[str, Any]) -> None:
    root = merkle_root([from_rpc_hex(wtxid) for wtxid in case["wtxids_rpc"]])
    assert root.hex() == case["witness_root_internal"]
    assert commitment_output(commitment_of(root)).script_pubkey.hex() == case["commitment_script_hex"]


def test_commitment_with_a_reserved_value_of_its_own() -> None:
    case = load("witness_commitment")[2]
    block = bytes.fromhex(case["block_hex"])
    coinbase_end = len(block)
    # The block has few transactions: find where its coinbase ends by trying.
    transactions = []
    at = 81
    while at < len(block):
        for end in range(at + 60, coinbase_end + 1):
            try:
                transactions.append(parse_transaction(block[at:end]))
            except Exception:  # noqa: BLE001 (any decoding error means: not the end yet)
                continue
            at = end
            break
    coinbase = transactions[0]
    root = merkle_root([ZERO_HASH, *(tx.wtxid_le() for tx in transactions[1:])])
    commitment = witness_commitment(root, bytes.fromhex(case["reserved_value"]))
    assert coinbase.witness == ((bytes.fromhex(case["reserved_value"]),),)
    assert any(out.script_pubkey[6:38] == commitment for out in coinbase.outputs)


@pytest.mark.parametrize("case", load("subsidy"), ids=lambda case: f"{case['chain']}-{case['height']}")
def test_subsidies(case: dict[str, Any]) -> None:
    network = next(network for network in NETWORKS.values() if network.chain == case["chain"])
    assert network.subsidy(case["height"]) == case["subsidy_sat"]


def test_a_whole_block_that_a_node_accepted_is_rebuilt_byte_by_byte() -> None:
    case = load("template_and_block")
    gbt, facts = case["gbt"], case["coinbase"]
    coinbase = build_coinbase(
        height=gbt["height"],
        payouts=[TxOut(gbt["coinbasevalue"], bytes.fromhex(facts["payout_scriptpubkey"]))],
        coinbase_value=gbt["coinbasevalue"],
        commitment=commitment_of(bytes.fromhex(case["witness_merkle_root_internal"])),
        extranonce_size=8,
        tag=b"/solominer",
    )
    extranonce = bytes.fromhex("0011223344556677")
    assert coinbase.stripped(extranonce).hex() == facts["hex_stripped"]
    assert coinbase.serialize(extranonce).hex() == facts["hex_with_witness"]
    assert to_rpc_hex(coinbase.txid_le(extranonce)) == facts["txid"]
    assert to_rpc_hex(sha256d(coinbase.serialize(extranonce))) == facts["wtxid"]
    assert coinbase.weight == case["coinbase_weight"]
    header = bytes.fromhex(case["header_hex"])
    data = [tx["data"] for tx in gbt["transactions"]]
    assert assemble_block_hex(header, coinbase.serialize(extranonce), len(data), "".join(data)) == case["block_hex"]
    assert block_weight(coinbase.weight, len(data), sum(tx["weight"] for tx in gbt["transactions"])) == case["weight"]
    assert to_rpc_hex(Header.unpack(header).hash_le()) == case["block_hash"]


def test_stratum_parts_are_those_of_the_same_block() -> None:
    case = load("stratum_v1_job")
    notify = case["notify_params"]
    gbt = load("template_and_block")["gbt"]
    branch = coinbase_branch([from_rpc_hex(tx["txid"]) for tx in gbt["transactions"]])
    assert [node.hex() for node in branch] == notify["merkle_branch"]
    coinbase = bytes.fromhex(notify["coinb1"] + case["extranonce1"] + "44556677" + notify["coinb2"])
    swapped = bytes.fromhex(notify["prevhash"])
    prevhash = b"".join(swapped[i : i + 4][::-1] for i in range(0, 32, 4))
    header = Header(
        int(notify["version"], 16),
        prevhash,
        root_from_branch(sha256d(coinbase), branch),
        int(case["submit"]["ntime"], 16),
        int(notify["nbits"], 16),
        int(case["submit"]["nonce"], 16),
    )
    assert header.pack().hex() == case["expected_header_hex"]
