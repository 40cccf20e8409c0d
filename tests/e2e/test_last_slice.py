"""A block that a worker finds in its last slice, after the daemon was told to end, is on the chain all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from regtest.scenarios import coins_address, mine_blocks
from solominer.engines.pool.pool import WorkerPool
from solominer.node.private.node import PrivateNode
from solominer.work.events import ShareFound
from tests.e2e.harness import RunningMiner, config_for
from tests.work.builders import solution

pytestmark = pytest.mark.e2e


async def test_a_hit_of_the_last_slice_is_submitted(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine_blocks(node, 2)
    config = config_for(node, tmp_path / "data", payout_address=coins_address(node))
    end_workers = WorkerPool.stop
    hits: list[ShareFound] = []

    async def stop(pool: WorkerPool, timeout_secs: float = 5.0) -> None:
        """Ends the workers; the first time a hit is read from a pipe just before it closes."""
        await end_workers(pool, timeout_secs)
        if not hits:
            hits.append(solution(miner.jobs[-1]))
            miner.executor.post(hits[0])

    monkeypatch.setattr(WorkerPool, "stop", stop)
    async with RunningMiner(monkeypatch, config, unsolvable=True) as miner:
        await miner.until(lambda: miner.mines_on(node.call("getbestblockhash")))
    (tip,) = [tracked.block for tracked in miner.coordinator.blocks.open.values()]
    assert node.call("getbestblockhash") == tip.hash_hex
    assert list((tmp_path / "data/regtest/submissions").rglob("facts.json"))
