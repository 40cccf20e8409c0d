"""The scenarios on a real node: each leaves the node in the state that its name promises."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest

from regtest.scenarios import (
    coins_address,
    fill_mempool,
    main,
    mine_blocks,
    mixed_transactions,
    node_args,
    reorganize,
    rival_branch,
    same_height_reorg,
    two_nodes,
)
from solominer.errors import BitcoindNotFound
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode

pytestmark = pytest.mark.e2e

TEMPLATE_REQUEST = {"rules": ["segwit"]}


def test_fill_makes_a_full_template_that_the_node_mines(node: PrivateNode) -> None:
    started = time.monotonic()
    filled = fill_mempool(node)
    assert time.monotonic() - started < 60
    template = node.call("getblocktemplate", TEMPLATE_REQUEST)["transactions"]
    assert len(template) >= 4_000
    assert sum(each["weight"] for each in template) > 3_700_000
    assert sum(bool(each["depends"]) for each in template) > 3_000
    [tip] = mine_blocks(node, 1)
    assert set(filled.txids_hex) <= set(node.call("getblock", tip)["tx"])


def test_fill_without_mining_leaves_the_chain_alone(node: PrivateNode) -> None:
    mine_blocks(node, 111)
    tip = node.call("getbestblockhash")
    fill_mempool(node, 500, mine=False)
    assert node.call("getbestblockhash") == tip
    assert len(node.call("getblocktemplate", TEMPLATE_REQUEST)["transactions"]) >= 500


def test_fill_without_mining_needs_coins(node: PrivateNode) -> None:
    with pytest.raises(ValueError, match=coins_address(node)):
        fill_mempool(node, 10, mine=False)


def test_mixed_spends_and_pays_every_type_in_chains_and_is_mined(node: PrivateNode) -> None:
    filled = mixed_transactions(node, 24)
    parents = max(len(node.call("getmempoolentry", txid_hex)["depends"]) for txid_hex in filled.txids_hex)
    assert parents == 2
    [tip] = mine_blocks(node, 1)
    mined = [each for each in node.call("getblock", tip, 3)["tx"] if each["txid"] in filled.txids_hex]
    assert len(mined) == len(filled.txids_hex)
    spent = {_spent_type(each) for transaction in mined for each in transaction["vin"]}
    paid = {each["scriptPubKey"]["type"] for transaction in mined for each in transaction["vout"]}
    assert {
        "pubkeyhash",
        "scripthash",
        "scripthash+witness",
        "multisig",
        "witness_v0_keyhash",
        "witness_v0_scripthash",
        "taproot by key",
        "taproot by script",
    } <= spent
    assert {
        "pubkeyhash",
        "scripthash",
        "witness_v0_keyhash",
        "witness_v0_scripthash",
        "witness_v1_taproot",
        "nulldata",
    } <= paid


def _spent_type(spent: dict[str, object]) -> str:
    """The type of a decoded input's output, P2SH and taproot told apart by what opened them."""
    prevout, witness = spent["prevout"], spent.get("txinwitness")
    assert isinstance(prevout, dict)
    name = str(prevout["scriptPubKey"]["type"])
    if name == "witness_v1_taproot":
        assert isinstance(witness, list)
        return "taproot by key" if len(witness) == 1 else "taproot by script"
    return f"{name}+witness" if name == "scripthash" and witness else name


def test_mixed_can_be_repeated(node: PrivateNode) -> None:
    first = mixed_transactions(node, 20, seed=1)
    second = mixed_transactions(node, 50, seed=1)
    assert len(second.txids_hex) >= 50
    assert not set(first.txids_hex) & set(second.txids_hex)


@pytest.mark.parametrize("depth", [1, 3])
def test_reorganize_replaces_exactly_that_many_blocks(node: PrivateNode, depth: int) -> None:
    before = mine_blocks(node, 5)
    tip = reorganize(node, depth)
    assert node.call("getblockcount") == 6
    assert node.call("getbestblockhash") == tip
    after = [node.call("getblockhash", height) for height in range(1, 6)]
    assert after[: 5 - depth] == before[: 5 - depth]
    assert not set(after[5 - depth :]) & set(before)


def test_same_height_reorg_changes_the_tip_alone(node: PrivateNode) -> None:
    before = mine_blocks(node, 3)
    tip = same_height_reorg(node)
    assert node.call("getbestblockhash") == tip != before[-1]
    assert node.call("getblockcount") == 3
    assert node.call("getblockhash", 2) == before[1]


def test_rival_branch_waits_beside_the_tip(node: PrivateNode) -> None:
    before = mine_blocks(node, 4)
    rival_tip = rival_branch(node, 2)
    assert node.call("getbestblockhash") == before[-1]
    assert node.call("getblockheader", rival_tip)["confirmations"] == -1
    node.call("preciousblock", rival_tip)
    assert node.call("getbestblockhash") == rival_tip


def test_two_nodes_part_and_meet_again(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    with two_nodes(bitcoind_binary, tmp_path, extra_args=node_args(bitcoind_binary.version)) as pair:
        pair.cut()
        mine_blocks(pair.left, 2)
        [*_, winner] = mine_blocks(pair.right, 3)
        assert pair.left.call("getblockcount") == 3
        pair.heal()
        assert pair.left.call("getbestblockhash") == winner


def test_commands_run_on_a_node_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill", "--count", "100"]) == 0
    assert "sent 100 transactions" in capsys.readouterr().out
    assert main(["reorg", "--depth", "2"]) == 0
    assert "replaced 2 blocks" in capsys.readouterr().out
    assert main(["pair"]) == 0
    assert "healed: both on" in capsys.readouterr().out


def test_commands_run_on_a_named_node(node: PrivateNode, capsys: pytest.CaptureFixture[str]) -> None:
    named = ["--rpc-port", str(node.rpc_port), "--cookie", str(node.cookie_file)]
    assert main([*named, "mine", "--blocks", "5"]) == 0
    assert node.call("getblockcount") == 5
    assert main([*named, "same-height"]) == 0
    assert str(node.call("getbestblockhash")) in capsys.readouterr().out


def test_commands_that_cannot_run_say_why(node: PrivateNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rpc-port", str(node.rpc_port), "mine"]) == 1
    assert "--rpc-port needs --cookie" in capsys.readouterr().err
    assert main(["--bitcoind", "/nowhere/bitcoind", "mine"]) == BitcoindNotFound.exit_code
    assert "/nowhere/bitcoind" in capsys.readouterr().err


def test_the_bitcoind_of_the_clone_runs(bitcoind_binary: BitcoindBinary) -> None:
    command = Path(__file__).parents[2] / "regtest/bitcoind"
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert bitcoind_binary.version in said
    which = subprocess.run([command, "--which"], capture_output=True, text=True, check=True).stdout
    assert shlex.split(which) == list(bitcoind_binary.argv)
