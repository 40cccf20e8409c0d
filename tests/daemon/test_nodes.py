"""The nodes of a configuration: names, ways in, the private one, and what is refused."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon import nodes as module
from solominer.daemon.nodes import await_payout, configured_nodes, nodes_of
from solominer.errors import ConfigError, NodeUnreachable, PayoutError
from solominer.node.credentials import CookieFile, PasswordFile, UserPassword
from solominer.work.payout import Payout, PayoutPart
from tests.fakes import FakeNode


def config_of(folder: Path, **values: Any) -> Config:
    return load_config(overrides={"mode": "regtest", "data_dir": str(folder), **values}, environ={})


@pytest.mark.parametrize(
    ("rpc", "kind"),
    [
        ({"username": "u", "password": "p"}, UserPassword),
        ({"username": "u", "password_file": "/secret"}, PasswordFile),
        ({"cookie_file": "/cookie"}, CookieFile),
        ({}, CookieFile),
    ],
)
def test_every_way_in(tmp_path: Path, rpc: dict[str, Any], kind: type) -> None:
    (settings,) = configured_nodes(config_of(tmp_path, bitcoin_rpc={"host": "127.0.0.1", **rpc}))
    assert isinstance(settings.credentials, kind)
    assert (settings.name, settings.port) == ("127.0.0.1:18443", 18443)


def test_without_a_name_the_local_node_is_taken_or_refused(tmp_path: Path) -> None:
    (settings,) = configured_nodes(config_of(tmp_path, mode="testnet4"))
    assert settings.port == 48332
    with pytest.raises(ConfigError, match="no node is configured"):
        configured_nodes(config_of(tmp_path, mode="testnet4", auto_detect=False))
    with pytest.raises(ConfigError, match="no RPC credentials"):
        configured_nodes(config_of(tmp_path, auto_detect=False, bitcoin_rpc={"host": "127.0.0.1"}))


async def test_a_private_node_is_started_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Private:
        rpc_host, rpc_port, cookie_file = "127.0.0.1", 18443, tmp_path / ".cookie"
        zmq_hashblock = zmq_sequence = "tcp://127.0.0.1:1"

        def __init__(self, binary: Any, folder: Path, **options: Any) -> None:
            assert folder == tmp_path / "private-node"

        def start(self) -> None:
            calls.append("start")

        def stop(self) -> None:
            calls.append("stop")

    monkeypatch.setattr(module, "PrivateNode", Private)
    monkeypatch.setattr(
        module, "find_bitcoind", lambda *arguments, **options: SimpleNamespace(version="v31", origin="PATH")
    )
    monkeypatch.setattr(module, "full_block_args", lambda version: [])
    async with AsyncExitStack() as stack:
        nodes = await nodes_of(config_of(tmp_path), lambda event: None, stack)
        assert (list(nodes), calls) == (["private"], ["start"])
        await nodes["private"].close()
    assert calls == ["start", "stop"]


async def test_two_nodes_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path, bitcoin_rpc={"host": "127.0.0.1"})
    monkeypatch.setattr(module, "configured_nodes", lambda config: 2 * configured_nodes(config))
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match="two nodes have the same name"):
            await nodes_of(config, lambda event: None, stack)


ONE, TWO = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "mhJuoGLgnJC8gdBgBzEigsoyG4omQXejPT"
SPLIT = [{"address": TWO, "basis_points": "2.5%"}]


class Decoding(FakeNode):
    """A node whose scripts differ with the address."""

    async def payout(self, address: str) -> Payout:
        self._ask()
        return Payout(address.encode(), address)


async def test_every_payee_of_a_split_is_asked_of_the_node(tmp_path: Path) -> None:
    config = config_of(tmp_path, payout_address=ONE, payout_split=SPLIT)
    known = await await_payout(config, {"a": Decoding("a", lambda event: None)}, asyncio.Event(), lambda text: None)
    assert known == (Payout(ONE.encode(), ONE, (PayoutPart(TWO.encode(), TWO, 250),)), False)


async def test_two_addresses_of_one_script_are_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, payout_address=ONE, payout_split=SPLIT)
    with pytest.raises(PayoutError, match="duplicate address in the payout split"):
        await await_payout(config, {"a": FakeNode("a", lambda event: None)}, asyncio.Event(), lambda text: None)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"payout_address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"}, "belongs to mainnet, not to regtest"),
        (
            {"payout_address": TWO, "payout_split": [{"address": ONE.replace("bcrt", "tb"), "basis_points": 1}]},
            "signet",
        ),
        ({"payout_address": "my wallet"}, "does not have the form of an address"),
    ],
)
async def test_an_address_that_cannot_be_is_refused_before_a_node_answers(
    tmp_path: Path, values: dict[str, Any], why: str
) -> None:
    node = FakeNode("a", lambda event: None)
    node.down = NodeUnreachable("it is off")
    config = config_of(tmp_path, **values)
    with pytest.raises(PayoutError, match=why):
        await asyncio.wait_for(await_payout(config, {"a": node, "b": node}, asyncio.Event(), lambda text: None), 1)


async def test_a_simulation_asks_about_no_split(tmp_path: Path) -> None:
    config = config_of(tmp_path, mode="demo", payout_split=[{"address": TWO, "basis_points": 10_000}])
    known = await await_payout(config, {"a": Decoding("a", lambda event: None)}, asyncio.Event(), lambda text: None)
    assert known == (Payout(b"", ""), False)
