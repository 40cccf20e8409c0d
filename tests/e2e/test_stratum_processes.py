"""Two server processes on one port of a real daemon: blocks of both are on the chain, also as one is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from solominer.node.private.node import PrivateNode
from tests.e2e.stratum_rig import Bench, Crowd, in_thread, serving, solve, until
from tests.engines.stratum.wire import WireMiner
from tests.faults.block_fates import check_blocks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def miner_at(bench: Bench, process: int) -> WireMiner:
    """A miner of that process; the kernel decides, with odds of 1e-19 that it is never this one."""
    part = bench.engine._space.part(process, 2)
    while (miner := bench.miner()).extranonce1 not in part:
        miner.close()
    return miner


async def test_blocks_found_at_both_are_on_the_chain(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch, stratum_processes=2) as bench:
        for process in (0, 1, 0, 1):
            miner = await in_thread(lambda process=process: miner_at(bench, process))  # type: ignore[misc]
            params, hash_hex = solve(miner)
            assert await bench.hand_in(miner, params) is None
            await bench.on_the_chain(hash_hex)
            miner.close()


async def test_one_is_killed_under_a_crowd(node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No block is lost, and everybody is back or was never away."""
    async with serving(node, tmp_path, monkeypatch, stratum_processes=2) as bench:
        crowd = Crowd(bench.url)
        await crowd.all_have_a_job(20)
        await crowd.accepts(2, 20)
        os.kill(bench.server_pid, signal.SIGKILL)
        await until(lambda: bench.server_starts == 2 and bench.engine.is_serving, 20)
        await crowd.all_have_a_job(20)
        await crowd.accepts(2, 20)
        await crowd.leave()
    assert crowd.accepted
    assert not check_blocks([node], crowd.accepted, [tmp_path / "data"]).problems
