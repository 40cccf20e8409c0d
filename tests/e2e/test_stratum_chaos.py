"""Two hundred miners while the Stratum server, the daemon or the node goes away: no block is lost, all come back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from solominer.node.private.node import PrivateNode
from tests.e2e.stratum_rig import Crowd, Daemon, serving, until
from tests.faults.block_fates import check_blocks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BACK_SECS = 5.0


def lost(node: PrivateNode, data: Path, promised: set[str]) -> list[str]:
    """What is wrong with the blocks that miners were told of, by the node's chain and the journal alone.

    A folder that is still empty is of a block that came at the moment of the kill: nobody was told of it.
    """
    assert promised
    empty = (folder for folder in data.glob("*/submissions/*/*/*/*/*-*") if not any(folder.iterdir()))
    untold = {folder.name.partition("-")[2] for folder in empty} - promised
    problems = check_blocks([node], promised, [data]).problems
    return [each for each in problems if not any(hash_hex in each for hash_hex in untold)]


async def test_the_server_is_killed_under_a_crowd(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody is back with the session that he had."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        crowd = Crowd(bench.url)
        await crowd.all_have_a_job(20)
        await crowd.accepts(2, 20)
        await bench.running.until(lambda: all(each in bench.engine._sessions for each in crowd.sessions.values()))
        os.kill(bench.server_pid, signal.SIGKILL)
        await until(lambda: not crowd.with_job, BACK_SECS)
        await crowd.all_have_a_job(BACK_SECS)
        assert all(crowd.resumed.values())
        await crowd.accepts(2, 20)
        await crowd.leave()
    assert not lost(node, tmp_path / "data", crowd.accepted)


async def test_the_node_is_lost_under_a_crowd(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work goes on for a while, then everybody is sent away; all come back with the node."""
    async with serving(node, tmp_path, monkeypatch, stale_secs=1) as bench:
        crowd = Crowd(bench.url)
        await crowd.all_have_a_job(20)
        await crowd.accepts(2, 20)
        miner, params, hash_hex = await bench.solved()
        node.stop()
        assert await bench.hand_in(miner, params) is None  # no node takes it now
        await until(lambda: not crowd.with_job, 60)
        node.start()
        await crowd.all_have_a_job(BACK_SECS)
        assert all(crowd.resumed.values())
        await crowd.accepts(2, 20)
        await crowd.leave()
    assert not lost(node, tmp_path / "data", {hash_hex, *crowd.accepted})


async def test_the_daemon_is_killed_under_a_crowd(node: PrivateNode, tmp_path: Path) -> None:
    """Its server ends with it. Started again, everybody is back within some seconds of its listening."""
    with Daemon(node, tmp_path) as daemon:
        crowd = Crowd(daemon.url)
        await crowd.all_have_a_job(60)
        await crowd.accepts(2, 20)
        await until(lambda: all(each in daemon.sessions_text() for each in crowd.sessions.values()), 20)
        before = dict(crowd.sessions)
        daemon.kill()
        await until(lambda: not crowd.with_job, BACK_SECS)
        daemon.start()
        await until(lambda: crowd.with_job, 60)
        await crowd.all_have_a_job(BACK_SECS)
        assert crowd.sessions == before
        await crowd.accepts(2, 20)
        await crowd.leave()
    assert not lost(node, daemon.data, crowd.accepted)
