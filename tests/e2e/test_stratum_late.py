"""Late and odd solutions on a real node: each is a block on the chain where the chain can take it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from regtest.scenarios import coins_address, fill_mempool
from solominer.node.private.node import PrivateNode
from solominer.work.policy import KEEP_BYTES
from tests.e2e.stratum_rig import Daemon, confirmations, in_thread, serving, solve, until
from tests.engines.stratum.builders import line

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

FORGOTTEN_AFTER = KEEP_BYTES // 4 // 1500
"""So many jobs, of more than 1,500 bytes each, take more memory than the server keeps jobs in."""


async def test_a_solution_on_a_tip_that_is_stale_reaches_the_node(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        node.call("generatetoaddress", 1, coins_address(node))
        await in_thread(lambda: miner.until("mining.notify", count=2))
        assert (await bench.hand_in(miner, params))[1] == "Stale"
        await bench.a_fork_of(hash_hex)


async def test_a_solution_of_a_job_that_was_forgotten_is_a_block(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of difficulty is a new job, until the first has been dropped from memory; it is made again."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()

        def many_jobs() -> None:
            for begin in range(0, FORGOTTEN_AFTER, 500):
                ids = range(1000 + begin, 1000 + begin + 500)
                suggestions = (line(each, "mining.suggest_difficulty", (1 + each % 2) * 1e-12) + "\n" for each in ids)
                miner.lines.clear()
                miner.write("".join(suggestions))
                miner.reply(ids[-1])

        await in_thread(many_jobs)
        assert int(miner.job[0], 16) - int(params[0], 16) >= FORGOTTEN_AFTER - 1
        await bench.hand_in(miner, params)  # its difficulty may be forgotten too; whether it is a block is not
        await bench.on_the_chain(hash_hex)


async def test_a_duplicate_is_one_block(node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        both = "".join(line(number, "mining.submit", "rig.1", *params) + "\n" for number in (80, 81))
        await in_thread(lambda: miner.write(both))
        assert (await in_thread(lambda: miner.reply(80)))["error"] is None
        assert (await in_thread(lambda: miner.reply(81)))["error"][1] == "Duplicate"
        await bench.on_the_chain(hash_hex)
        assert [each.block.hash_hex for each in bench.tracked()] == [hash_hex]


async def test_a_share_is_held_against_its_own_jobs_difficulty(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        await in_thread(lambda: miner.write(line(90, "mining.suggest_difficulty", 1e-12) + "\n"))
        await in_thread(lambda: miner.reply(90))
        assert await bench.hand_in(miner, params) is None
        await bench.on_the_chain(hash_hex)


async def test_the_last_line_of_a_connection_may_be_a_block(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        miner.write(line(77, "mining.submit", "rig.1", *params) + "\n")
        miner.close()
        await bench.on_the_chain(hash_hex)


async def test_a_solution_counts_on_the_next_connection_of_its_session(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke before it could be handed in."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        miner.close()
        again = await in_thread(lambda: bench.miner(session=miner.session_id))
        assert again.extranonce1 == miner.extranonce1
        assert await bench.hand_in(again, params) is None
        await bench.on_the_chain(hash_hex)


async def test_a_connection_whose_session_another_one_took_still_counts(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both connections are listened to for a while: what was under way on the first one is not lost."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        other = await in_thread(lambda: bench.miner(session=miner.session_id))
        assert other.extranonce1 == miner.extranonce1
        assert await bench.hand_in(miner, params) is None
        await bench.on_the_chain(hash_hex)
        assert await in_thread(miner.ended)


async def test_a_solution_counts_after_the_server_was_killed(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new process has none of the jobs, only the work: it makes the job again."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        await bench.running.until(lambda: miner.session_id in bench.engine._sessions)
        os.kill(bench.server_pid, signal.SIGKILL)
        await bench.running.until(lambda: bench.server_starts == 2 and bench.engine.is_serving)
        again = await in_thread(lambda: bench.miner(session=miner.session_id))
        assert again.job[0] != params[0]
        assert again.extranonce1 == miner.extranonce1
        assert await bench.hand_in(again, params) is None
        await bench.on_the_chain(hash_hex)


@pytest.mark.parametrize(("end", "restarts"), [(Daemon.stop, 1), (Daemon.kill, 2)])
async def test_a_solution_counts_after_a_restart_of_the_daemon(
    node: PrivateNode, tmp_path: Path, end: Callable[[Daemon], None], restarts: int
) -> None:
    """The work with its transactions is on disk, and the session has the extranonce1 that it had."""
    txids = set(fill_mempool(node, 200).txids_hex)
    with Daemon(node, tmp_path) as daemon:
        miner = daemon.miner()
        params, hash_hex = solve(miner)
        await until(lambda: miner.session_id in daemon.sessions_text(), 20)
        for _ in range(restarts):
            end(daemon)
            daemon.start()
            again = daemon.miner(session=miner.session_id)
        assert (again.session_id, again.extranonce1) == (miner.session_id, miner.extranonce1)
        assert again.job[0] not in params
        assert again.hand_in(params)["result"] is True
        await until(lambda: confirmations(node, hash_hex) > 0, 20)
        assert txids <= set(node.call("getblock", hash_hex)["tx"])
