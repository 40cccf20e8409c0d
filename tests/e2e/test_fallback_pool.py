"""A daemon whose real node is killed mines at a pool, and on its own again once the node is back; then SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from regtest.scenarios import coins_address
from solominer.daemon import fallback
from solominer.node.private.node import PrivateNode
from solominer.records.evidence.verify import verify
from tests.e2e.harness import RunningMiner, config_for
from tests.upstream.scripted import MAINNET_BITS, Script, ScriptedPool, notify

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_a_pool_gets_the_work_while_the_node_is_dead(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "PATIENCE_SECS", 0.5)
    async with ScriptedPool(Script(lines=[notify(nbits=MAINNET_BITS)], difficulty=1e-4)) as pool:
        known = {"url": pool.config().url, "user": "rig.1"}
        values = {"cpu_workers": 1, "stale_secs": 0.5, "fallback_pool": known, "payout_address": coins_address(node)}
        async with RunningMiner(monkeypatch, config_for(node, tmp_path / "data", **values)) as running:
            await running.until(lambda: running.accepted >= 2, 60)
            await asyncio.to_thread(node.kill)
            await running.until(lambda: len(pool.shares) >= 3)
            await asyncio.to_thread(node.start)
            wanted = running.accepted + 3
            await running.until(lambda: running.accepted >= wanted)
            told = len(pool.shares)
            os.kill(os.getpid(), signal.SIGTERM)  # which ends it with 0, or the harness fails
            await running.until(running.daemon._stop.is_set)
        assert len(pool.shares) - told <= 2, "solo work took over"
    result = verify(tmp_path / "data/regtest", thorough=True)
    assert result.holds, result.wrong
    assert any("mined for pool" in line for line in result.lines())
