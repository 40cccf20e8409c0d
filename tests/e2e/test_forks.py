"""Two real nodes that are not connected, each with a chain of its own: the daemon and the doctor say so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from regtest.scenarios import mine_blocks
from solominer.config.models import Config
from solominer.doctor.examination import examine
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from solominer.work.found import BlockState
from tests.e2e.harness import RunningMiner, config_for

pytestmark = pytest.mark.e2e

OTHERS_ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
"""Blocks of the same second that pay the same address are the same on both nodes: no fork."""


@pytest.fixture
def other(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> Iterator[PrivateNode]:
    """A second node, of another chain."""
    with PrivateNode(bitcoind_binary, tmp_path / "other") as running:
        yield running


def config_of_two(node: PrivateNode, other: PrivateNode, folder: Path) -> Config:
    """The configuration of somebody who mines on both."""
    second = {
        "name": "other",
        "host": other.rpc_host,
        "port": other.rpc_port,
        "cookie_file": str(other.cookie_file),
        "zmq": {"hashblock": other.zmq_hashblock, "sequence": other.zmq_sequence},
    }
    return config_for(node, folder, more_nodes=[second], retry={"look_secs": 1})


async def test_blocks_count_on_the_chain_with_the_most_work(
    node: PrivateNode,
    other: PrivateNode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    await asyncio.to_thread(mine_blocks, other, 3, OTHERS_ADDRESS)
    async with RunningMiner(monkeypatch, config_of_two(node, other, tmp_path / "data")) as miner:
        miner.allow(0)
        await miner.until(lambda: miner.coordinator.nodes.current == "other")  # it has more work
        await miner.mine(1)
        (block,) = miner.coordinator.blocks.open.values()
        assert other.call("getbestblockhash") == block.block.hash_hex
        assert "disagree" not in caplog.text, "the first node was merely behind"

        await asyncio.to_thread(mine_blocks, node, 10)
        await miner.until(lambda: block.state is BlockState.STALE)
        assert miner.accepted == 0
        await miner.until(lambda: "other has less work (height 4" in caplog.text)
        assert "different chains since height 1;" in caplog.text
        assert "since height 1, with less work" in miner.coordinator.forks.note("other")

        await asyncio.to_thread(mine_blocks, other, 10, OTHERS_ADDRESS)
        await miner.until(lambda: block.state is BlockState.CONFIRMED)
        assert miner.accepted >= 1

        await asyncio.to_thread(node.call, "addnode", f"127.0.0.1:{other.p2p_port}", "onetry")
        await miner.until(lambda: "same chain again" in caplog.text)
        assert miner.coordinator.forks.note("other") == ""


def test_the_doctor_compares_the_nodes(node: PrivateNode, other: PrivateNode, tmp_path: Path) -> None:
    config = config_of_two(node, other, tmp_path / "data")

    def found() -> str:
        (finding,) = (each for each in examine(config, None, listen_secs=0.1) if each.check.startswith("chain of"))
        return f"{finding.status.value}: {finding.evidence}"

    mine_blocks(node, 5)
    assert "at height 0 of 5" in found()
    mine_blocks(other, 3, OTHERS_ADDRESS)
    assert "since height 1 (heights 3 and 5; other has less work)" in found()
    node.call("addnode", f"127.0.0.1:{other.p2p_port}", "onetry")
    other.call("waitforblockheight", 5, 20_000)
    assert found().startswith("ok: same chain as")
