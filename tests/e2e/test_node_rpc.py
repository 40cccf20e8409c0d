"""The RPC client, templates, health and payout on a real node: mining rules 1 to 4, 9, 13, 29 and 48, and S1."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from solominer.chain.hashes import from_rpc_hex
from solominer.chain.networks import MAINNET, REGTEST
from solominer.errors import NodeAuthFailed, NodeNotReady, NodeUnreachable, PayoutError, RpcFailed, WrongNetwork
from solominer.node.credentials import CookieFile, UserPassword
from solominer.node.health import look
from solominer.node.longpoll import wait_for_tip
from solominer.node.payout import payout_to, regtest_payout
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from solominer.node.rpc import RpcClient
from solominer.node.template import fetch_template, template_request
from tests.e2e.mined import settings_of

pytestmark = pytest.mark.e2e


@pytest.fixture
def client(module_node: PrivateNode) -> Iterator[RpcClient]:
    """A client of the module's node."""
    with settings_of(module_node).connect() as connected:
        yield connected


def test_a_template_of_the_real_node_holds_to_every_rule(client: RpcClient) -> None:
    template = fetch_template(client, REGTEST).template
    assert template.prevhash_hex == client.call("getbestblockhash")
    assert template.mintime == client.call("getblockheader", template.prevhash_hex)["mediantime"] + 1


def test_a_template_without_segwit_is_refused_by_the_node(client: RpcClient) -> None:
    with pytest.raises(RpcFailed, match="segwit") as caught:
        client.call("getblocktemplate", {"rules": []})
    assert caught.value.code == -8


def test_errors_come_with_http_404_and_500(client: RpcClient) -> None:
    for method, code in (("nonsense", -32601), ("getblockheader", -1)):
        with pytest.raises(RpcFailed) as caught:
            client.call(method)
        assert caught.value.code == code


def test_wrong_credentials(module_node: PrivateNode) -> None:
    client = RpcClient(module_node.rpc_host, module_node.rpc_port, UserPassword("me", "wrong: password"))
    with client, pytest.raises(NodeAuthFailed) as caught:
        client.call("getblockcount")
    assert "password" in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_user_and_password_of_any_characters(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    user, password = "me@home/%41", "p:ä@/#?%&= \"'"
    login = f"-rpcauth={_rpcauth(user, password)}"
    with (
        PrivateNode(bitcoind_binary, tmp_path / "node", extra_args=(login,)) as node,
        RpcClient(node.rpc_host, node.rpc_port, UserPassword(user, password)) as client,
    ):
        assert client.call("getblockcount") == 0


def _rpcauth(user: str, password: str) -> str:
    """As share/rpcauth/rpcauth.py of Bitcoin Core makes it."""
    salt = "00112233445566778899aabbccddeeff"
    return f"{user}:{salt}${hmac.new(salt.encode(), password.encode(), 'sha256').hexdigest()}"


def test_a_restart_changes_the_cookie_and_nobody_notices(node: PrivateNode) -> None:
    with settings_of(node).connect() as client:
        assert client.call("getblockcount") == 0
        before = node.cookie_file.read_text()
        node.restart()
        assert node.cookie_file.read_text() != before
        assert client.call("getblockcount") == 0
        node.stop()
        with pytest.raises(NodeUnreachable, match="refused"):
            client.call("getblockcount")
        with pytest.raises(NodeAuthFailed, match="no cookie file"):
            settings_of(node).connect().call("getblockcount")


def test_connections_that_the_node_drops_when_idle(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    impatient = ("-rpcservertimeout=1",)
    with (
        PrivateNode(bitcoind_binary, tmp_path / "node", extra_args=impatient) as node,
        settings_of(node).connect() as client,
    ):
        assert client.call("getblockcount") == 0
        end = time.monotonic() + 20
        while not client._connection.is_stale():
            assert time.monotonic() < end
            time.sleep(0.05)
        assert client.call("getblockcount") == 0


def test_mainnet_without_peers_is_not_ready_and_its_deployments_are_understood(
    bitcoind_binary: BitcoindBinary, tmp_path: Path
) -> None:
    with PrivateNode(bitcoind_binary, tmp_path / "node", chain="main") as node:
        client = RpcClient(node.rpc_host, node.rpc_port, CookieFile((node.cookie_file,)))
        with client:
            with pytest.raises(NodeNotReady, match="-9"):
                client.call("getblocktemplate", template_request(MAINNET))
            seen = look(client, MAINNET, node="alpha", now=time.time())
            assert seen.reachable
            assert "initial block download" in seen.problem
            assert look(client, REGTEST, node="alpha", now=time.time()).problem.startswith("the node at 127.0.0.1")
            with pytest.raises(WrongNetwork):
                payout_to(client, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", REGTEST)


def test_health_of_a_private_node(client: RpcClient) -> None:
    seen = look(client, REGTEST, node="alpha", now=time.time())
    assert seen.usable
    assert (seen.peers, seen.height, seen.initial_download) == (0, 0, True)
    assert seen.clock_offset_secs == 0
    assert seen.version


def test_a_long_poll_without_news_ends_in_time_with_the_tip_as_it_is(client: RpcClient) -> None:
    started = time.monotonic()
    assert wait_for_tip(client, 0.3, 5.0) == from_rpc_hex(client.call("getbestblockhash"))
    assert time.monotonic() - started >= 0.3


SCRIPTS = [
    ("76a914" + "11" * 20 + "88ac", ""),
    ("a914" + "11" * 20 + "87", ""),
    ("0014" + "11" * 20, ""),
    ("0020" + "11" * 32, ""),
    ("512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", ""),
    ("5120" + "00" * 31 + "05", "nobody could spend"),
    ("5120" + "ff" * 32, "nobody could spend"),
    ("51024e73", "no type that is safe"),
    ("5220" + "11" * 32, "no type that is safe"),
    ("6002751e", "no type that is safe"),
]


@pytest.mark.parametrize(("script_hex", "refusal"), SCRIPTS)
def test_payout_addresses_that_the_node_calls_valid(client: RpcClient, script_hex: str, refusal: str) -> None:
    address = client.call("decodescript", script_hex)["address"]
    assert client.call("validateaddress", address)["isvalid"]
    if refusal:
        with pytest.raises(PayoutError, match=refusal):
            payout_to(client, address, REGTEST)
    else:
        assert payout_to(client, address, REGTEST).script_pubkey.hex() == script_hex


@pytest.mark.parametrize(
    "address", ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "1BShJZ8A5q53oJJfMJoEF1gfZCWdZqZwwD"]
)
def test_an_address_of_mainnet_is_refused_on_regtest(client: RpcClient, address: str) -> None:
    with pytest.raises(PayoutError, match="belongs to mainnet, not to regtest"):
        payout_to(client, address, REGTEST)


def test_the_private_nodes_wallet_gives_one_address_over_restarts(node: PrivateNode) -> None:
    with settings_of(node).connect() as client:
        first = regtest_payout(client, REGTEST)
        assert first.address.startswith("bcrt1q")
        node.restart()
        assert regtest_payout(client, REGTEST) == first
