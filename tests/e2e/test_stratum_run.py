"""The daemon is killed at each step between a block that a miner hands in and its answer."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from solominer.node.private.node import PrivateNode
from tests import killed_at
from tests.e2e.stratum_rig import Daemon, confirmations, solve, until
from tests.engines.stratum.builders import line
from tests.faults.block_fates import read_journal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EXECUTOR = ("solominer.daemon.executor", "Executor._save_block")
JOURNAL = "solominer.records.journal.journal"
ENGINE = ("solominer.engines.stratum.engine", "StratumEngine.block_saved")


@pytest.mark.parametrize(
    ("when", "module", "method", "is_kept"),
    [
        ("before", *EXECUTOR, False),
        ("after", JOURNAL, "Journal.put", True),
        ("before", JOURNAL, "Journal.save", True),
        ("after", JOURNAL, "Journal.save", True),
        ("before", *ENGINE, True),
        ("after", *ENGINE, True),
    ],
)
async def test_a_block_that_was_answered_with_true_outlives_the_daemon(
    node: PrivateNode, tmp_path: Path, when: str, module: str, method: str, is_kept: bool
) -> None:
    """The node is away, so the journal alone has it: true or no answer, and from `put` on it reaches the chain."""
    with Daemon(node, tmp_path, *killed_at.command(when, module, method, "solominer")) as daemon:
        miner = daemon.miner()
        params, hash_hex = solve(miner)
        node.stop()
        miner.write(line(77, "mining.submit", "rig.1", *params) + "\n")
        assert miner.ended()
        answers = [each["result"] for each in miner.lines if each.get("id") == 77]
        assert daemon.process.wait(20) == -signal.SIGKILL
        assert answers == [] or (answers == [True] and (when, method) == ("after", ENGINE[1]))
        assert (hash_hex in read_journal([daemon.data])) is is_kept
        node.start()
        daemon.start()
        daemon.miner()
        if is_kept:
            await until(lambda: confirmations(node, hash_hex) > 0, 20)
