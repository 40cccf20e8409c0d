"""Looks at a node: what makes its templates unfit to be mined, what is only worth a warning, and that a strange or
failing node never raises. The deployments are those that a real derivative of Bitcoin Core lists.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from solominer.chain.fields import Field
from solominer.chain.networks import MAINNET, REGTEST, SIGNET, TESTNET4, Network
from solominer.errors import NodeError, UnsafeConsensus, WrongNetwork
from solominer.node.health import CASH_HASH_HEX, look, one_line, pin_network, refuse_other_coin, refuse_unsafe_consensus
from solominer.node.rpc import RpcClient
from solominer.work.events import NodeHealth
from tests.node.fake_node import FakeNode, Reply, error

NOW = 1_760_000_000.0
BEST_HEX = "00000000000000000001" + "ab" * 22

FLAG_DAYS = {
    "height": 950_000,
    "deployments": {
        "segwit": {"type": "buried", "active": True, "height": 481824},
        "taproot": {"type": "bip9", "active": True, "bip9": {"status": "active"}},
        "reduced_data": {"type": "flagday", "height": 961_640, "expiry_time": 1_819_756_800, "active": False},
        "long_coinbase_maturity": {"type": "flagday", "height": 973_440, "height_end": 979_919, "active": False},
    },
    "blake2b": {"height": 961_640, "active": False},
}


def _node(
    fake: FakeNode, network: Network, chain: dict[str, Any] | None = None, net: dict[str, Any] | None = None
) -> None:
    fake.answers = {
        "getblockchaininfo": {
            "chain": network.chain,
            "blocks": 900_000,
            "headers": 900_000,
            "bestblockhash": BEST_HEX,
            "chainwork": "0100",
            "time": int(NOW) - 300,
            "mediantime": int(NOW) - 3600,
            "initialblockdownload": False,
            "pruned": True,
            "warnings": [],
            **(chain or {}),
        },
        "getblockhash": network.genesis_hex,
        "getnetworkinfo": {
            "subversion": "/Satoshi:30.0.0/",
            "connections": 8,
            "timeoffset": 0,
            "warnings": [],
            **(net or {}),
        },
        "getdeploymentinfo": {"height": 900_000, "deployments": {}},
    }


def _look(client: RpcClient, network: Network = MAINNET) -> NodeHealth:
    return look(client, network, node="alpha", now=NOW)


def test_a_node_that_is_well(fake: FakeNode, client: RpcClient) -> None:
    _node(fake, MAINNET)
    seen = _look(client)
    assert seen.usable
    assert seen.best_hash_le == bytes.fromhex(BEST_HEX)[::-1]
    assert (seen.height, seen.headers, seen.chainwork, seen.peers, seen.pruned) == (900_000, 900_000, 256, 8, True)
    assert (seen.tip_time, seen.median_time) == (int(NOW) - 300, int(NOW) - 3600)
    assert (seen.version, seen.warnings, seen.node) == ("/Satoshi:30.0.0/", (), "alpha")
    assert seen.rpc_secs > 0


@pytest.mark.parametrize(
    ("network", "chain", "net", "problem"),
    [
        (MAINNET, {"chain": "test"}, {}, "is on chain 'test', but mainnet"),
        (MAINNET, {"headers": 900_003}, {}, "behind: 900000 of 900003 blocks"),
        (REGTEST, {"headers": 900_003}, {}, "behind"),
        (MAINNET, {"initialblockdownload": True}, {}, "initial block download"),
        (MAINNET, {}, {"connections": 0}, "no peers"),
        (MAINNET, {"headers": 900_002}, {}, ""),
        (REGTEST, {"initialblockdownload": True}, {"connections": 0}, ""),
        (SIGNET, {"initialblockdownload": True}, {"connections": 0}, ""),
    ],
)
def test_problems(
    fake: FakeNode, client: RpcClient, network: Network, chain: dict[str, Any], net: dict[str, Any], problem: str
) -> None:
    _node(fake, network, chain, net)
    seen = _look(client, network)
    assert seen.reachable
    assert seen.usable == (not problem)
    assert problem in seen.problem
    assert "\n" not in seen.problem


def test_another_coin_with_the_same_chain_name(fake: FakeNode, client: RpcClient) -> None:
    _node(fake, MAINNET)
    fake.answers["getblockhash"] = "00" * 32
    assert "its genesis block is" in _look(client).problem
    with pytest.raises(WrongNetwork, match="another coin"):
        pin_network(client, MAINNET)


@pytest.mark.parametrize(
    ("chain", "net", "warning"),
    [
        ({"warnings": "unknown new rules"}, {}, "unknown new rules"),
        ({"warnings": ["unknown new rules"]}, {"warnings": ["unknown new rules"]}, "unknown new rules"),
        ({}, {"timeoffset": 90}, "-90 s from its peers'"),
        ({"time": int(NOW) - 4 * 3600}, {}, "4.0 hours old"),
    ],
)
def test_warnings(fake: FakeNode, client: RpcClient, chain: dict[str, Any], net: dict[str, Any], warning: str) -> None:
    _node(fake, MAINNET, chain, net)
    seen = _look(client)
    assert seen.usable
    assert len(seen.warnings) == 1
    assert warning in seen.warnings[0]


def test_a_clock_that_is_off_is_a_warning(fake: FakeNode, client: RpcClient) -> None:
    _node(fake, MAINNET)
    late = Reply(200, b'{"result": 1}', {"Date": formatdate(time.time() - 600, usegmt=True)})
    fake.then(late)
    client.call("echo")
    seen = _look(client)
    assert seen.clock_offset_secs is not None
    assert seen.clock_offset_secs < -590
    assert "from this machine's" in seen.warnings[0]


def test_old_nodes_without_deployments_or_tip_time(fake: FakeNode, client: RpcClient) -> None:
    _node(fake, MAINNET)
    del fake.answers["getdeploymentinfo"], fake.answers["getblockchaininfo"]["time"]
    seen = _look(client)
    assert seen.usable
    assert seen.tip_time == seen.median_time


@pytest.mark.parametrize("method", ["getblockchaininfo", "getblockhash", "getnetworkinfo", "getdeploymentinfo"])
def test_a_failing_node_is_not_usable(fake: FakeNode, client: RpcClient, method: str) -> None:
    _node(fake, MAINNET)
    fake.answers[method] = error(-28, "Verifying blocks")
    seen = _look(client)
    assert not seen.reachable
    assert "Verifying blocks" in seen.problem


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("getblockchaininfo", None),
        ("getblockchaininfo", {"chain": "main"}),
        ("getnetworkinfo", "text"),
        ("getdeploymentinfo", {"height": "many", "deployments": {"other": {"active": True}}}),
    ],
)
def test_a_strange_node_is_not_usable(fake: FakeNode, client: RpcClient, method: str, reply: Any) -> None:
    _node(fake, MAINNET)
    fake.answers[method] = reply
    seen = _look(client)
    assert not seen.usable
    assert "invalid answer" in seen.problem


@pytest.mark.parametrize("key", ["blocks", "headers", "bestblockhash", "chainwork", "time", "mediantime"])
def test_every_field_that_is_needed_is_checked(fake: FakeNode, client: RpcClient, key: str) -> None:
    _node(fake, MAINNET, {key: ["x"]})
    assert not _look(client).usable
    _node(fake, MAINNET, {"chainwork": "no number"})
    assert not _look(client).usable


# --- consensus that is not ours (S1) ---


def test_flag_days_of_a_derivative_are_announced_and_then_refused(fake: FakeNode, client: RpcClient) -> None:
    _node(fake, MAINNET)
    fake.answers["getdeploymentinfo"] = FLAG_DAYS
    assert _look(client).warnings == ()
    fake.answers["getdeploymentinfo"] = {**FLAG_DAYS, "height": 961_000}
    seen = _look(client)
    assert seen.usable
    assert [warning for warning in seen.warnings if "961640" in warning and "'blake2b'" in warning]
    fake.answers["getdeploymentinfo"] = {**FLAG_DAYS, "height": 961_639}
    seen = _look(client)
    assert "reduced_data" in seen.problem
    assert not seen.usable


def _with(**deployment: Any) -> dict[str, Any]:
    return {"height": 1000, "deployments": {"other": {"active": False, **deployment}}}


@pytest.mark.parametrize(
    ("info", "unsafe"),
    [
        (_with(active=True), True),
        (_with(height=1001), True),
        (_with(height=1002), False),
        (_with(height=900, height_end=1000), False),
        (_with(height=900, height_end=1001), True),
        (_with(height=900, expiry_time=5000), False),
        (_with(height=900, expiry_time=5001), True),
        (_with(), False),
        ({"height": 1000, "deployments": {"taproot": {"active": True, "height": 1}}}, False),
        ({"height": 1000, "blake2b": {"active": True, "height": 1}}, True),
    ],
)
@pytest.mark.parametrize("network", [MAINNET, TESTNET4])
def test_what_holds_at_the_next_block_is_refused(network: Network, info: dict[str, Any], unsafe: bool) -> None:
    for lab in (REGTEST, SIGNET):
        refuse_unsafe_consensus(Field(info, "getdeploymentinfo"), lab, 5000)
    if unsafe:
        with pytest.raises(UnsafeConsensus, match="does not implement"):
            refuse_unsafe_consensus(Field(info, "getdeploymentinfo"), network, 5000)
    else:
        refuse_unsafe_consensus(Field(info, "getdeploymentinfo"), network, 5000)


def test_one_line() -> None:
    assert one_line(NodeError("what\nand more", "todo")) == "what; and more; todo"


@pytest.mark.parametrize("agent", ["/Bitcoin Cash Node:28.0.1(EB32.0)/", "/Bitcoin ABC:0.30.0/", "/Bitcoin SV:1.0.16/"])
def test_a_node_of_another_coin_on_our_first_block(fake: FakeNode, client: RpcClient, agent: str) -> None:
    """Bitcoin Cash calls its chain main and has our genesis block."""
    _node(fake, MAINNET, net={"subversion": agent})
    assert "another coin" in _look(client).problem
    with pytest.raises(WrongNetwork, match="another coin") as caught:
        refuse_other_coin(client, pin_network(client, MAINNET))
    assert caught.value.todo == "connect to a Bitcoin node"


def test_a_node_on_the_chain_of_bitcoin_cash(fake: FakeNode, client: RpcClient) -> None:
    _node(fake, MAINNET)
    chain = pin_network(client, MAINNET)
    refuse_other_coin(client, chain)
    fake.answers["getblockhash"] = CASH_HASH_HEX
    with pytest.raises(WrongNetwork, match="the chain of Bitcoin Cash"):
        refuse_other_coin(client, chain)
    refuse_other_coin(client, Field({"chain": "main", "blocks": 478_558}, "getblockchaininfo"))


def test_a_node_that_keeps_its_agent_to_itself_is_not_judged(fake: FakeNode, client: RpcClient) -> None:
    _node(fake, MAINNET)
    fake.answers["getnetworkinfo"] = error(-32601, "Method not found", status=403)
    refuse_other_coin(client, pin_network(client, MAINNET))
