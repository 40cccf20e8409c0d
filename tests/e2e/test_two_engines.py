"""A second engine beside the CPU pool on a real node, which accepts the blocks of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regtest.scenarios import coins_address
from solominer.node.private.node import PrivateNode
from solominer.records.evidence.verify import verify
from tests.e2e.harness import RunningMiner, config_for
from tests.fakes import FakeEngine, block_engines

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_a_real_node_accepts_the_blocks_of_both_engines(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, engine = (
        config_for(node, tmp_path / "data", payout_address=coins_address(node)),
        FakeEngine("rented", auto=2),
    )
    async with RunningMiner(monkeypatch, config, node=node, more_engines=[engine]) as miner:
        blocks = miner.coordinator.blocks
        await miner.until(lambda: block_engines([*blocks.settled, *blocks.open.values()]) == {"cpu", "rented"}, 90)
        assert len({share.extranonce[:4] for share in engine.found}) == 1
    rejected = [each for each in [*blocks.settled, *blocks.open.values()] if each.state.value == "rejected"]
    assert rejected == []
    assert {answer for _, answer in miner.proposals} == {None}
    (file,) = (tmp_path / "data/regtest").glob("reports/*/*/*/*/report.json")
    engines = json.loads(file.read_text())["hashes"]["engines"]
    assert all(engines[name]["shares"] > 0 for name in ("cpu", "rented"))
    for each in [*blocks.settled, *blocks.open.values()]:
        header = node.call("getblockheader", each.block.hash_hex)
        assert header["height"] == each.block.height, f"the node has the block of {each.block.worker}"
    assert verify(tmp_path / "data/regtest").holds
