"""A second engine beside the CPU pool in a whole run: jobs, shares, blocks, status and reports are of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from solominer.records.evidence.verify import verify
from solominer.work.blocks import TrackedBlock
from tests.daemon.test_run import Running, config_of, hashlib_kernel  # noqa: F401 - a fixture for all tests here
from tests.fakes import ANY_HASH, FakeEngine, FakeNodes, block_engines
from tests.records.standalone import standalone

ENGINES = {"cpu", "rented"}


def tracked(running: Running) -> list[TrackedBlock]:
    """All blocks of the run."""
    assert running.run.executor is not None
    blocks = running.run.executor.coordinator.blocks
    return [*blocks.settled, *blocks.open.values()]


@pytest.mark.parametrize("credited", [False, True])
async def test_both_engines_get_jobs_and_both_engines_blocks_are_accepted_shown_and_reported(
    tmp_path: Path, credited: bool
) -> None:
    engine, nodes = FakeEngine("rented", workers=2, credited=credited, auto=4), FakeNodes(("a", "b"))
    running = Running(config_of(tmp_path, mode="regtest"), nodes=nodes, engine=engine)
    await running.until(lambda: running.run.executor and block_engines(tracked(running)) == ENGINES)
    assert {job.job_id for job, _ in engine.jobs} >= {block.block.job_id for block in tracked(running)}
    assert engine.jobs[0][1], "the first job is on a new tip"
    shown = (await running.ask("status"))["status"]
    workers: dict[str, dict[str, Any]] = {worker["worker"]: worker for worker in shown["workers"]}
    assert set(workers) == {"cpu/0", "rented/0", "rented/1"}
    assert (workers["rented/0"]["hashes_credited"] > 0) is credited
    assert (workers["rented/0"]["hashes_counted"] > 0) is not credited
    assert shown["hashes"] >= workers["cpu/0"]["hashes_counted"] + workers["rented/0"]["hashes_counted"]
    assert await running.end() == 0
    assert "stop" in engine.calls
    for node in nodes.nodes.values():
        assert node.submitted, f"blocks are sent to node {node.name}"
    root = tmp_path / "regtest"
    (file,) = root.glob("reports/*/*/*/*/report.json")
    report = json.loads(file.read_text())
    engines = report["hashes"]["engines"]
    assert set(engines) == ENGINES
    assert all(sums["shares"] > 0 for sums in engines.values())
    assert (engines["rented"]["credited"] > 0, engines["rented"]["counted"] > 0) == (credited, not credited)
    assert engines["cpu"]["credited"] == 0
    assert report["shares"]["credited"] == (engines["rented"]["shares"] if credited else 0)
    (ledger,) = root.glob("ledger/*/*/*/*/ledger.jsonl")
    shares = [line for line in map(json.loads, ledger.read_text().splitlines()) if line["kind"] == "share"]
    assert {line["worker"] for line in shares} == set(workers)
    for line in shares:
        assert line.get("share_target_hex") == (None if line["worker"] == "cpu/0" else f"{ANY_HASH:064x}")
    assert verify(root).holds
    assert standalone(root).holds


async def test_an_engine_that_lies_or_raises_harms_nobody_else(tmp_path: Path) -> None:
    engine = FakeEngine("rented")
    running = Running(config_of(tmp_path, mode="regtest"), engine=engine)
    await running.until(lambda: engine.job)
    lie = engine.lie()
    engine.raises.add("publish")
    await running.until(lambda: "cpu" in block_engines(tracked(running)))
    assert await running.end() == 0
    (ledger,) = (tmp_path / "regtest").glob("ledger/*/*/*/*/ledger.jsonl")
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    missed = [line for line in lines if line["kind"] == "share_misses_target"]
    assert [(line["worker"], line["job"]) for line in missed] == [("rented/0", lie.job_id)]
