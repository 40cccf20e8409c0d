"""A run whose node goes away mines at a scripted pool until it is back: who gets which share, and what is told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from solominer.daemon import every_run
from solominer.daemon import fallback as module
from solominer.daemon.parts import pool_settings_of
from solominer.errors import NodeUnreachable
from solominer.records.events.event_log import event_files
from solominer.records.events.replay import replay
from solominer.records.evidence.verify import verify
from solominer.views.text import status_lines
from solominer.work.coordinator import Coordinator
from solominer.work.job import Job
from tests.daemon.test_pool_run import everything_in
from tests.daemon.test_run import Running, config_of, hashlib_kernel  # noqa: F401 - a fixture for all tests here
from tests.fakes import FakeEngine, FakeNode, FakeNodes
from tests.upstream.scripted import MAINNET_BITS, SECRET, Script, ScriptedPool, notify

GONE = NodeUnreachable("its disk is full")


@dataclass
class House:
    """A run with one node, one pool, and an engine that finds what a test asks for."""

    running: Running
    pool: ScriptedPool
    engine: FakeEngine

    @property
    def node(self) -> FakeNode:
        node: FakeNode = self.running.nodes.nodes["a"]
        return node

    @property
    def coordinator(self) -> Coordinator:
        assert self.running.run.executor is not None
        return self.running.run.executor.coordinator

    @property
    def is_on(self) -> bool:
        assert self.running.run.fallback is not None
        return self.running.run.fallback.is_on

    async def lose_the_node(self) -> Job:
        """Until the pool's job is mined; gives it."""
        self.node.down = GONE
        self.node.tell_health()
        await self.running.until(lambda: self.engine.job is not None and self.engine.job.pool)
        assert self.engine.job is not None
        return self.engine.job

    async def find_the_node(self) -> Job:
        """Until a job of our own is mined; gives it."""
        self.node.down = None
        self.node.tell_health()
        await self.running.until(lambda: self.engine.job is not None and not self.engine.job.pool)
        assert self.engine.job is not None
        return self.engine.job

    async def status(self) -> dict[str, Any]:
        return dict((await self.running.ask("status"))["status"])


@asynccontextmanager
async def house(folder: Path, monkeypatch: pytest.MonkeyPatch, *, patience: float = 0.1) -> AsyncIterator[House]:
    """Solo work is under way."""
    monkeypatch.setattr(module, "PATIENCE_SECS", patience)
    monkeypatch.setattr(module, "LOOK_SECS", 0.01)
    monkeypatch.setattr(module, "LAST_SHARES_SECS", 0.3)
    script = Script(lines=[notify(nbits=MAINNET_BITS)])
    async with ScriptedPool(script) as pool:
        known = {"url": pool.config().url, "user": "rig.1", "password": SECRET}
        config = config_of(folder, mode="regtest", stale_secs=0.1, fallback_pool=known)
        engine = FakeEngine("rented")
        running = Running(config, nodes=FakeNodes(), engine=engine)
        try:
            await running.mines()
            yield House(running, pool, engine)
        finally:
            if not running.task.done():
                assert await running.end() == 0


async def test_shares_go_to_whom_their_job_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "solominer")
    monkeypatch.setattr(every_run, "pool_settings_of", lambda config: replace(pool_settings_of(config), workers=0))
    async with house(tmp_path, monkeypatch) as h:
        solo = h.coordinator.job
        assert solo is not None
        theirs = await h.lose_the_node()
        h.engine.find(job=solo, block=False)
        h.engine.find(job=solo, block=True)
        await h.running.until(lambda: h.coordinator.judge.shares == 2 and h.node.submitted)
        assert h.engine.job is theirs, "a late block stops nothing"
        h.engine.find(job=theirs, share_target=theirs.share_target)
        await h.running.until(lambda: len(h.pool.shares) == 1)
        monkeypatch.setattr(module, "LOOK_SECS", 0.5)  # solo work is noticed when its second job is under way
        await asyncio.sleep(0.02)
        ours = await h.find_the_node()
        assert ours.job_id < module.FIRST_POOL_JOB <= theirs.job_id
        h.engine.find(job=theirs, share_target=theirs.share_target)  # of the last slice
        await h.running.until(lambda: len(h.pool.shares) == 2)
        h.pool.say(notify("late", 300, nbits=MAINNET_BITS))  # it may still give jobs: they are not mined
        h.engine.find(job=ours, block=True)
        await h.running.until(lambda: h.coordinator.blocks.accepted_count == 2)
        await h.running.until(lambda: "solo work again" in caplog.text)
        assert [job.pool for job, _ in h.engine.jobs[-2:]] == ["", ""]
        assert h.coordinator.judge.shares == 3
    text = caplog.text
    assert any("mining at the fallback pool" in each.message and each.levelname == "WARNING" for each in caplog.records)
    assert "solo work again after" in text
    assert SECRET not in text + everything_in(tmp_path)


async def test_records_and_evidence_tell_solo_work_and_pool_work_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, monkeypatch) as h:
        for wanted in (5, 10):
            await h.lose_the_node()
            await h.running.until(partial(lambda wanted: len(h.pool.shares) >= wanted, wanted))
            await h.find_the_node()
        url = h.pool.config().url
    root = tmp_path / "regtest"
    result = verify(root, thorough=True)
    assert result.holds, result.wrong
    assert any("mined for pool stratum+tcp://127.0.0.1" in line for line in result.lines())
    (outcome,) = [replay([file]) for file in event_files(root)]
    assert outcome.difference is None
    assert outcome.actions
    (file,) = root.glob("reports/*/*/*/*/report.json")
    report = json.loads(file.read_text())
    (told,) = report["pools"]
    assert told["pool"] == url
    assert told["accepted"] >= 10
    assert 0 < told["counted"] < report["hashes"]["counted"]
    assert report["chance"]["expected_blocks"] > 0
    (ledger,) = root.glob("ledger/*/*/*/*/ledger.jsonl")
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    jobs = {line["job"]: line.get("pool") for line in lines if line["kind"] == "work"}
    assert {jobs[line["job"]] for line in lines if line["kind"] == "share"} >= {url}
    assert not any(line["kind"] == "share_of_unknown_job" for line in lines)
    codes = [line["severity"] for line in lines if line["kind"] == "error" and line["code"] == "fallback-pool"]
    assert codes == ["medium", "info"] * 2


async def test_status_and_screen_tell_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path, monkeypatch) as h:
        assert (await h.status())["pools"] == []
        await h.lose_the_node()
        status = await h.status()
        assert status["status"] == "mining at a fallback pool, as no node is healthy"
        assert [(pool["active"], pool["user"]) for pool in status["pools"]] == [(True, "rig.1")]
        assert status["height"] == 199
        text = "\n".join(status_lines(status))
        assert "as rig.1: in use; shares: " in text
        assert "those found now are the pool's" in text
        executor = h.running.run.executor
        assert executor is not None
        h.pool.cut()
        await h.running.until(lambda: h.engine.job is None)
        status = await h.status()
        assert status["status"] == "waiting for a fallback pool, as no node is healthy"
        assert not status["pools"][0]["active"]
        await h.find_the_node()
        assert (await h.status())["status"].startswith(("mining", "waiting for a template"))


async def test_a_pause_holds_at_the_pool_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path, monkeypatch) as h:
        await h.lose_the_node()
        await h.running.ask("pause")
        await h.running.until(lambda: h.engine.job is None and not h.is_on)
        connections = h.pool.connections
        await h.running.ask("resume")
        await h.running.until(lambda: h.engine.job is not None and h.engine.job.pool)
        assert h.pool.connections == connections + 1


async def test_a_node_that_is_soon_back_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path, monkeypatch, patience=60) as h:
        h.node.down = GONE
        h.node.tell_health()
        await h.running.until(lambda: h.coordinator.status == "waiting for a node")
        await h.find_the_node()
        assert not h.pool.connections


async def test_it_ends_while_it_mines_at_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path, monkeypatch) as h:
        await h.lose_the_node()
        assert await h.running.end() == 0
        assert h.engine.jobs[-1][0].pool
