"""The doctor's check of the mining interface, and where its socket is looked for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.coinbase import build_coinbase
from solominer.chain.header import block_weight
from solominer.chain.transaction import TxOut
from solominer.config.load import load_config
from solominer.config.models import RpcConfig
from solominer.daemon.nodes import configured_nodes, ipc_socket_of, reserve_of
from solominer.doctor.check import Status
from solominer.doctor.ipc_check import check_ipc, others_who_may_open
from solominer.errors import IpcFailed
from solominer.node.ipc import trial
from tests.node.ipc.mock_node import Behaviour, MockNode
from tests.node.ipc.test_link import EMPTY, FULL, TIP


@pytest.fixture
def node(tmp_path: Path) -> Iterator[MockNode]:
    """A node that is well; its folder is closed to others."""
    tmp_path.chmod(0o700)
    with MockNode(tmp_path / "node.sock", Behaviour(full=FULL, empty=EMPTY, tip_le=TIP)) as running:
        yield running


def test_an_interface_that_works(node: MockNode) -> None:
    outcome = check_ipc(node.path, lambda _: TIP)
    assert (outcome.status, outcome.evidence) == (Status.OK, f"interface of release 32 at {node.path}")


def test_what_is_wrong(node: MockNode, monkeypatch: pytest.MonkeyPatch) -> None:
    other = check_ipc(node.path, lambda _: b"\3" * 32)
    assert (other.status, "is another node's" in other.evidence) == (Status.WARNING, True)
    node.does.release = 33
    unknown = check_ipc(node.path, lambda _: TIP)
    assert (unknown.status, "no known way to submit" in unknown.evidence) == (Status.WARNING, True)
    node.stop()
    gone = check_ipc(node.path, lambda _: TIP)
    assert (gone.status, "-ipcbind=unix" in gone.todo) == (Status.WARNING, True)

    def missing() -> None:
        raise IpcFailed("pycapnp is not installed", 'pip install "solominer[ipc]"')

    monkeypatch.setattr(trial, "schema", missing)
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(node.path))
        package = check_ipc(node.path, lambda _: TIP)
    assert package.todo == 'pip install "solominer[ipc]"'


def test_a_socket_that_others_may_open(node: MockNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.doctor.ipc_check.others_who_may_open", lambda _: "other users")
    outcome = check_ipc(node.path, lambda _: TIP)
    assert (outcome.status, "controls the node without a password" in outcome.evidence) == (Status.WARNING, True)


@pytest.mark.parametrize(
    ("folder", "mode", "who"),
    [(0o755, 0o777, "other users"), (0o755, 0o770, "the group"), (0o750, 0o777, "the group"), (0o700, 0o777, ""),
     (0o755, 0o600, ""), (0o755, 0o755, "")],
)  # fmt: skip
def test_who_may_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: int, mode: int, who: str) -> None:
    path = tmp_path / "open" / "node.sock"
    path.parent.mkdir()
    path.touch()
    path.chmod(mode)
    path.parent.chmod(folder)
    monkeypatch.setattr(type(path), "parents", property(lambda self: [self.parent]))  # whatever the rest is
    assert others_who_may_open(path) == who


def config(tmp_path: Path, source: str, **rpc: Any) -> Any:
    """A configuration with a node that has a cookie there."""
    node = {"cookie_file": str(tmp_path / ".cookie"), **rpc}
    return load_config(
        overrides={"mode": "regtest", "template_source": source, "bitcoin_rpc": node, "payout_address": ""}, environ={}
    )


def test_where_the_socket_is_looked_for(node: MockNode, tmp_path: Path) -> None:
    (auto,) = configured_nodes(config(tmp_path, "auto"))
    assert auto.ipc_socket == node.path
    (rpc,) = configured_nodes(config(tmp_path, "rpc", ipc_socket=str(node.path)))
    assert rpc.ipc_socket is None
    node.stop()
    (absent,) = configured_nodes(config(tmp_path, "auto"))
    assert absent.ipc_socket is None
    (wanted,) = configured_nodes(config(tmp_path, "ipc"))
    assert wanted.ipc_socket == node.path
    (named,) = configured_nodes(config(tmp_path, "auto", ipc_socket=str(tmp_path / "other.sock")))
    assert named.ipc_socket == tmp_path / "other.sock"
    group = {"listen": "127.0.0.1:3333", "payout": "group"}
    grouped = load_config(
        overrides={"mode": "regtest", "bitcoin_rpc": {"ipc_socket": str(node.path)}, "stratum": [group]}, environ={}
    )
    assert ipc_socket_of(grouped, grouped.nodes[0]) is None
    elsewhere = config(tmp_path, "ipc")
    assert ipc_socket_of(elsewhere, RpcConfig(host="10.0.0.1")) is None


class _Payees:
    """As much of a configuration as matters."""

    def __init__(self, count: int) -> None:
        self.payees = [("", 1)] * count


@pytest.mark.parametrize(("others", "weight"), [(0, 2000), (3, 2088), (40, 8452)])
def test_templates_leave_room_for_the_payees(others: int, weight: int) -> None:
    """Whatever their addresses: the largest coinbase fits."""
    made = _Payees(1 + others)
    scripts = [b"\x51\x20" + bytes([number]) * 32 for number in range(1 + others)]
    coinbase = build_coinbase(
        height=2**31 - 2,
        payouts=[TxOut(1, script) for script in scripts],
        coinbase_value=len(scripts),
        commitment=bytes(32),
        extranonce_size=12,
        tag=b"x" * 60,
        aux=bytes(20),
    )
    reserve = reserve_of(made)  # type: ignore[arg-type]
    assert reserve.weight == weight >= block_weight(coinbase.weight, 19_999, 0)
    assert reserve.sigops >= coinbase.sigop_cost
