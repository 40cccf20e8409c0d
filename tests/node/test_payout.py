"""The payout address: every refusal of mining rule 29 with its reason, and the private node's wallet.

The scripts are what real nodes give for these addresses.
"""

from __future__ import annotations

from typing import Any

import pytest

from solominer.chain.networks import MAINNET, NETWORKS, REGTEST, SIGNET, TESTNET4
from solominer.errors import NodeError, PayoutError, RpcFailed, WrongNetwork
from solominer.node.payout import payout_to, regtest_payout
from solominer.node.rpc import RpcClient
from tests.node.fake_node import FakeNode, error

SAFE = [
    ("1BShJZ8A5q53oJJfMJoEF1gfZCWdZqZwwD", "76a914728d4cc27d19707b0197cfcd7c412d43287864b588ac"),
    ("3L1YkZjdeNSqaZcNKZFXQfyokx3zVYm7r6", "a914c8f37c3cc21561296ad81f4bec6b5de10ebc185187"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
    (
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ),
]
UNSAFE = [
    ("bc1pfeesnyr2tx", "51024e73", "no type that is safe"),  # pay to anchor
    ("bc1sw50qgdz25j", "6002751e", "no type that is safe"),  # witness version 16
    ("bc1p" + "q" * 58, "5120" + "ff" * 32, "nobody could spend"),  # x is not below the field's prime
    ("bc1p" + "p" * 58, "5120" + "00" * 31 + "05", "nobody could spend"),  # x of no point
]


def _on(fake: FakeNode, network_name: str, reply: dict[str, Any]) -> None:
    network = NETWORKS[network_name]
    fake.answers |= {
        "getblockchaininfo": {"chain": network.chain},
        "getblockhash": network.genesis_hex,
        "validateaddress": reply,
    }


@pytest.mark.parametrize(("address", "script_hex"), SAFE)
def test_safe_addresses_give_the_nodes_script(fake: FakeNode, client: RpcClient, address: str, script_hex: str) -> None:
    _on(fake, "mainnet", {"isvalid": True, "scriptPubKey": script_hex})
    payout = payout_to(client, f" {address}\n", MAINNET)
    assert (payout.script_pubkey.hex(), payout.address) == (script_hex, address)


@pytest.mark.parametrize(("address", "script_hex", "reason"), UNSAFE)
def test_what_the_node_calls_valid_and_is_not_safe(
    fake: FakeNode, client: RpcClient, address: str, script_hex: str, reason: str
) -> None:
    _on(fake, "mainnet", {"isvalid": True, "scriptPubKey": script_hex})
    with pytest.raises(PayoutError, match=reason):
        payout_to(client, address, MAINNET)


@pytest.mark.parametrize(
    ("network", "address", "reason"),
    [
        (REGTEST, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "belongs to mainnet, not to regtest"),
        (REGTEST, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "belongs to testnet or signet, not to regtest"),
        (MAINNET, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "belongs to regtest, not to mainnet"),
        (MAINNET, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "belongs to testnet or signet, not to mainnet"),
        (MAINNET, "mhJuoGLgnJC8gdBgBzEigsoyG4omQXejPT", "belongs to testnet, signet or regtest, not to mainnet"),
        (TESTNET4, "1BShJZ8A5q53oJJfMJoEF1gfZCWdZqZwwD", "belongs to mainnet, not to testnet4"),
        (SIGNET, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "belongs to mainnet, not to signet"),
        (REGTEST, "mhJuoGLgnJC8gdBgBzEigsoyG4omQXejPX", "is not valid: Invalid checksum"),
        (REGTEST, "my wallet", "does not have the form of an address"),
        (REGTEST, "", "does not have the form of an address"),
    ],
)
def test_refusals_say_why(fake: FakeNode, client: RpcClient, network: Any, address: str, reason: str) -> None:
    _on(fake, network.name, {"isvalid": False, "error": "Invalid checksum."})
    with pytest.raises(PayoutError, match=reason) as caught:
        payout_to(client, address, network)
    assert "address" in caught.value.todo
    assert ("copy it again" in caught.value.todo) == ("checksum" in reason)


def test_an_old_node_gives_no_reason(fake: FakeNode, client: RpcClient) -> None:
    _on(fake, "regtest", {"isvalid": False})
    with pytest.raises(PayoutError, match="the node does not recognize it"):
        payout_to(client, "mhJuoGLgnJC8gdBgBzEigsoyG4omQXejPX", REGTEST)


def test_a_node_of_another_network_is_not_asked(fake: FakeNode, client: RpcClient) -> None:
    _on(fake, "regtest", {"isvalid": True, "scriptPubKey": SAFE[0][1]})
    with pytest.raises(WrongNetwork, match="is on chain 'regtest', but mainnet"):
        payout_to(client, SAFE[0][0], MAINNET)
    assert "validateaddress" not in [each.method for each in fake.requests]


def test_the_answer_about_another_address_is_refused(fake: FakeNode, client: RpcClient) -> None:
    address, script = SAFE[0]
    _on(fake, "mainnet", {"isvalid": True, "address": "bc1qanother", "scriptPubKey": script})
    with pytest.raises(NodeError, match="answered for another"):
        payout_to(client, address, MAINNET)
    _on(fake, "mainnet", {"isvalid": True, "address": address.upper(), "scriptPubKey": script})
    assert payout_to(client, address, MAINNET).script_pubkey.hex() == script


def test_a_script_that_is_no_hex_is_refused(fake: FakeNode, client: RpcClient) -> None:
    _on(fake, "mainnet", {"isvalid": True, "scriptPubKey": "none"})
    with pytest.raises(NodeError, match="scriptPubKey is 'none', not bytes in hex"):
        payout_to(client, SAFE[0][0], MAINNET)


# --- the private node's wallet ---

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


def _wallet(fake: FakeNode, **answers: Any) -> list[str]:
    _on(fake, "regtest", {"isvalid": True, "scriptPubKey": "0014751e76e8199196d454941c45d1b3a323f1433bd6"})
    fake.answers |= {"listwallets": [], "loadwallet": {}, "createwallet": {}, "getnewaddress": ADDRESS, **answers}
    return [each.method for each in fake.requests]


def test_wallet_and_address_are_made_once(fake: FakeNode, client: RpcClient) -> None:
    _wallet(fake, loadwallet=error(-18), getaddressesbylabel=error(-11))
    assert regtest_payout(client, REGTEST).address == ADDRESS
    asked = {each.method: each for each in fake.requests}
    assert asked["createwallet"].params == ["solominer"]
    assert asked["getnewaddress"].params == ["solominer", "bech32"]
    assert asked["getnewaddress"].path == "/wallet/solominer"


@pytest.mark.parametrize("loaded", [[], ["solominer"]])
def test_and_found_again_later(fake: FakeNode, client: RpcClient, loaded: list[str]) -> None:
    _wallet(fake, listwallets=loaded, getaddressesbylabel={ADDRESS: {"purpose": "receive"}})
    assert regtest_payout(client, REGTEST).address == ADDRESS
    methods = [each.method for each in fake.requests]
    assert "createwallet" not in methods
    assert "getnewaddress" not in methods
    assert ("loadwallet" in methods) == (not loaded)


@pytest.mark.parametrize("failing", ["loadwallet", "getaddressesbylabel"])
def test_other_errors_of_the_wallet_are_the_nodes(fake: FakeNode, client: RpcClient, failing: str) -> None:
    _wallet(fake, **{"getaddressesbylabel": {}, failing: error(-4, "the wallet is broken")})
    with pytest.raises(RpcFailed, match="the wallet is broken"):
        regtest_payout(client, REGTEST)


def test_no_wallet_is_made_in_a_node_of_another_network(fake: FakeNode, client: RpcClient) -> None:
    _wallet(fake, getblockchaininfo={"chain": "main"})
    with pytest.raises(WrongNetwork, match="is on chain 'main'"):
        regtest_payout(client, REGTEST)
    assert not {each.method for each in fake.requests} & {"loadwallet", "createwallet", "getnewaddress"}


def test_a_node_without_wallets(fake: FakeNode, client: RpcClient) -> None:
    _wallet(fake, listwallets=error(-32601, status=404))
    with pytest.raises(PayoutError, match="no wallet"):
        regtest_payout(client, REGTEST)


def test_only_regtest_gives_away_addresses(client: RpcClient) -> None:
    with pytest.raises(PayoutError, match="no payout address is set"):
        regtest_payout(client, MAINNET)
