"""Workers are always on the right work: competing blocks, reorganizations, ZMQ lost, the node restarted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from regtest.scenarios import coins_address, mine_blocks, reorganize, same_height_reorg
from solominer.node.private.node import PrivateNode
from tests.e2e.harness import RunningMiner, config_for

pytestmark = pytest.mark.e2e


async def test_competing_blocks_and_reorganizations_move_the_workers(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine_blocks(node, 5)
    config = config_for(node, tmp_path / "data", payout_address=coins_address(node))
    async with RunningMiner(monkeypatch, config, unsolvable=True) as miner:
        await miner.until(lambda: miner.mines_on(node.call("getbestblockhash")))

        (competing,) = await asyncio.to_thread(mine_blocks, node, 1)
        await miner.until(lambda: miner.mines_on(competing))

        tip = await asyncio.to_thread(reorganize, node, 3)
        await miner.until(lambda: miner.mines_on(tip))

        height = node.call("getblockcount")
        tip = await asyncio.to_thread(same_height_reorg, node)
        assert node.call("getblockcount") == height
        await miner.until(lambda: miner.mines_on(tip))
        assert miner.jobs[-1].template.height == height + 1


async def test_without_zmq_a_tip_costs_one_poll_interval(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZMQ addresses where nobody publishes: what a ZMQ that was cut off looks like."""
    mine_blocks(node, 2)
    poll_secs = 0.5
    silent = {"hashblock": "tcp://127.0.0.1:9", "sequence": "tcp://127.0.0.1:9"}
    config = config_for(node, tmp_path / "data", payout_address=coins_address(node), zmq=silent, poll_secs=poll_secs)
    async with RunningMiner(monkeypatch, config, unsolvable=True) as miner:
        await miner.until(lambda: miner.mines_on(node.call("getbestblockhash")))
        for _ in range(4):
            (tip,) = await asyncio.to_thread(mine_blocks, node, 1)
            took = await miner.until(lambda tip=tip: miner.mines_on(tip))  # type: ignore[misc]
            assert took < poll_secs + 1.0, "a poll interval, and some time for a busy machine"


async def test_a_node_that_is_restarted_is_survived(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cookie changes, connections break, ZMQ goes away and comes back; nobody has to do anything."""
    mine_blocks(node, 2)
    config = config_for(node, tmp_path / "data", payout_address=coins_address(node))
    async with RunningMiner(monkeypatch, config) as miner:
        miner.allow(0)
        await miner.mine(2)
        await asyncio.to_thread(node.restart)
        await miner.mine(3, timeout_secs=60)
        assert node.call("getblockcount") == 7
        assert {worker.restarts for worker in miner.pool.pool_snapshot().workers} == {0} if miner.pool else False
