"""GPU workers alone on a real node: the same kernels as on a card, run by PoCL on this machine's CPU."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from regtest.scenarios import coins_address
from solominer.node.private.node import PrivateNode
from solominer.records.control_client import ask
from solominer.records.evidence.verify import verify
from tests.e2e.harness import RunningMiner, config_for
from tests.engines.gpu.pocl import pocl

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BLOCKS = 20


async def test_a_real_node_accepts_the_blocks_of_gpu_workers_alone(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pocl()
    config = config_for(
        node,
        tmp_path / "data",
        payout_address=coins_address(node),
        cpu_workers=0,
        gpu={"devices": "all", "cpu_devices": True, "kernel": "plain-added-64"},
    )
    height = node.call("getblockcount")
    async with RunningMiner(monkeypatch, config, node=node) as miner:
        await miner.mine(BLOCKS, 120)
        blocks = [*miner.coordinator.blocks.settled, *miner.coordinator.blocks.open.values()]
        counted = sum(engine.hashes for engine in miner.executor.count_hashes())
        status = (await asyncio.to_thread(ask, config.tree_dir, {"do": "status"}))["status"]
    (shown,) = status["workers"]
    assert (shown["worker"], shown["kernel"], shown["alive"]) == ("gpu/0", "plain-added-64", True)
    assert shown["hashes_counted"] > 0
    assert node.call("getblockcount") >= height + BLOCKS
    assert [each for each in blocks if each.state.value == "rejected"] == []
    assert {each.block.worker.engine for each in blocks} == {"gpu"}
    assert {answer for _, answer in miner.proposals} == {None}
    for each in blocks:
        assert node.call("getblockheader", each.block.hash_hex)["height"] == each.block.height
    (file,) = (tmp_path / "data/regtest").glob("reports/*/*/*/*/report.json")
    engines = json.loads(file.read_text())["hashes"]["engines"]
    assert engines["gpu"]["shares"] >= BLOCKS
    assert engines["gpu"]["counted"] >= counted > 0
    assert verify(tmp_path / "data/regtest").holds
