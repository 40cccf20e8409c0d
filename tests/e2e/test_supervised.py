"""`kill -9` of the daemon under a small service manager, against a real node: it comes back and nothing is lost.

First in full flight, several times. Then in the worst moment: a block is on disk, the node is away, the daemon is
killed; what brings the block onto the chain is only what the next start finds in the journal.
"""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path

import pytest

from regtest.scenarios import coins_address
from solominer.node.private.node import PrivateNode
from tests.deploy.manager import SOLOMINER, ServiceManager

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

KILLS = 4


def argv_for(node: PrivateNode, folder: Path) -> list[str]:
    """A config.json on this node, and the command that mines with it for good."""
    config = {
        "mode": "regtest",
        "bitcoin_rpc": {"host": node.rpc_host, "port": node.rpc_port, "cookie_file": str(node.cookie_file)},
        "zmq": {"hashblock": node.zmq_hashblock, "sequence": node.zmq_sequence},
        "payout_address": coins_address(node),
        "data_dir": str(folder / "data"),
        "nice": 0,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return [*SOLOMINER, "run", "--config", str(path)]


def journalled(folder: Path) -> set[str]:
    """Hashes of all blocks whose whole bytes are in the journal, less those that wait behind another one of ours.

    Such a one comes about where work begins before the block of the run before is back on the chain.
    """
    kept = [path.parent for path in (folder / "data").glob("regtest/submissions/*/*/*/*/*/block.hex")]
    return {path.name.split("-")[1] for path in kept if not _is_superseded(path / "states.jsonl")}


def _is_superseded(states: Path) -> bool:
    return states.exists() and '"superseded"' in states.read_text()


def chain_of(node: PrivateNode) -> list[str]:
    """Hashes of the node's active chain, from height 1."""
    return [node.call("getblockhash", height) for height in range(1, node.call("getblockcount") + 1)]


def grow(manager: ServiceManager, node: PrivateNode) -> None:
    """Wait for four more blocks."""
    height = node.call("getblockcount")
    manager.until(lambda: node.call("getblockcount") >= height + 4)


def test_killed_in_full_flight(node: PrivateNode, tmp_path: Path) -> None:
    with ServiceManager(argv_for(node, tmp_path), tmp_path, watchdog_secs=30.0) as manager:
        for kill in range(KILLS):
            grow(manager, node)
            manager.process.kill()
            manager.until(functools.partial(lambda starts: manager.starts == starts, kill + 2))
        grow(manager, node)
        assert manager.terminate() == 0, manager.tail()
    chain = chain_of(node)
    assert len(chain) >= 4 * (KILLS + 1)
    assert journalled(tmp_path) <= set(chain)  # no block that was kept failed to get onto the chain
    # The chain is ours alone; a block missing in the journal was killed between the node's answer and the disk's.
    assert len(set(chain) - journalled(tmp_path)) <= KILLS


def _found_within(manager: ServiceManager, folder: Path, before: set[str], secs: float = 10.0) -> bool:
    """Whether a block that is not among those of before is kept in time."""
    deadline = time.monotonic() + secs
    manager.until(lambda: journalled(folder) - before or time.monotonic() > deadline)
    return bool(journalled(folder) - before)


def test_a_block_on_disk_survives_a_node_that_is_away_and_a_kill(node: PrivateNode, tmp_path: Path) -> None:
    with ServiceManager(argv_for(node, tmp_path), tmp_path, watchdog_secs=30.0) as manager:
        manager.until(lambda: node.call("getblockcount") >= 3)
        before = set(chain_of(node))
        node.stop()
        while not _found_within(manager, tmp_path, before):  # it went away between two jobs: nobody searches
            node.start()
            grow(manager, node)
            before = set(chain_of(node))
            node.stop()
        manager.process.kill()
        manager.until(lambda: manager.starts == 2)
        node.start()
        kept = journalled(tmp_path)
        manager.until(lambda: kept <= set(chain_of(node)))
        manager.until(lambda: manager.said("READY"))
        assert manager.terminate() == 0, manager.tail()
    assert journalled(tmp_path) <= set(chain_of(node))
