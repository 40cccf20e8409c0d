"""A cluster's head in a whole run: a node's blocks are accepted, its hashes reported, and it can be drained."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.daemon import every_run
from solominer.daemon.parts import cluster_of, pool_settings_of, recorder_of
from solominer.errors import SolominerError
from solominer.records.control_client import ask
from solominer.records.evidence.verify import verify
from solominer.records.journal.recovery import open_blocks
from solominer.work.actions import SaveBlock
from solominer.work.policy import KEEP_SECS
from tests.daemon.test_run import Running, config_of, hashlib_kernel  # noqa: F401 - a fixture for all tests here
from tests.engines.cluster.rig import new_node
from tests.engines.cluster.server import made, running
from tests.fakes import FakeNodes
from tests.work.builders import feed, mining, of_type, solution


async def test_a_node_finds_blocks_for_the_daemon_and_is_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(every_run, "pool_settings_of", lambda config: replace(pool_settings_of(config), workers=0))
    folder = made(tmp_path / "cluster", ["n1"])
    server = folder.read().servers[0]
    with running(folder):
        config = config_of(tmp_path, mode="regtest", **{"cluster.servers": [server], "cluster.dir": str(folder.path)})
        run, node = Running(config, nodes=FakeNodes()), new_node(folder, "n1", pays=())
        working = asyncio.create_task(node.run(asyncio.Event()))
        await run.until(lambda: run.run.executor)
        executor = run.run.executor
        assert executor is not None
        assert executor.coordinator.policy.keep_job_secs == KEEP_SECS

        def by_node() -> list[Any]:
            blocks = executor.coordinator.blocks
            return [each for each in (*blocks.settled, *blocks.open.values()) if each.block.worker.engine == "cluster"]

        await run.until(by_node)

        def command(name: str) -> dict[str, Any]:
            return ask(config.tree_dir, {"do": "cluster-drain", "node": name})

        with pytest.raises(SolominerError, match="no node n9 has joined"):
            await asyncio.to_thread(command, "n9")
        await run.until(lambda: not len(node.spool))
        assert (await asyncio.to_thread(command, "n1"))["node"] == "n1"
        await asyncio.wait_for(working, 20)
        assert await run.end() == 0
    (file,) = (tmp_path / "regtest").glob("reports/*/*/*/*/report.json")
    engines = json.loads(file.read_text())["hashes"]["engines"]
    assert engines["cluster"]["shares"] > 0
    assert engines["cluster"]["credited"] == 0
    assert verify(tmp_path / "regtest").holds


def test_a_block_of_which_the_disk_has_no_whole_copy_is_not_known_to_the_head(tmp_path: Path) -> None:
    """After a power cut the server may have the only copy: its share."""
    folder = made(tmp_path / "cluster", [])
    servers = list(folder.read().servers)
    config = config_of(tmp_path, mode="regtest", **{"cluster.servers": servers, "cluster.dir": str(folder.path)})
    machine, job = mining()
    (saving,) = of_type(SaveBlock, feed(machine, solution(job)))
    recorder = recorder_of(config)
    recorder.open(0.0)
    recorder.journal.save(saving.block)
    recorder.close(1.0)
    for whole in (True, False):
        replay = open_blocks(recorder.tree)
        head = cluster_of(config, recorder, replay)
        assert head is not None
        assert head._blocks == ({saving.block.hash_le} if whole else set())
        for file in recorder.tree.root.glob("submissions/*/*/*/*/*/*"):
            file.write_bytes(file.read_bytes()[:100])
