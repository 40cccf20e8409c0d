"""A whole run at scripted pools: a CPU pool whose kernel is hashlib, and a fake engine beside it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon import daemon, every_run, pool_run
from solominer.daemon import status as status_module
from solominer.daemon.every_run import RunOptions
from solominer.daemon.parts import pool_settings_of
from solominer.daemon.pool_run import PoolRun
from solominer.engines.pool.pool import PoolSettings
from solominer.errors import SolominerError
from solominer.records.control_client import ask
from solominer.records.evidence.verify import verify
from solominer.upstream.miner import PoolMiner
from solominer.views.logs import RecentEvents
from solominer.views.text import status_lines
from tests.fakes import FakeEngine
from tests.upstream.scripted import SECRET, Script, ScriptedPool, notify
from tests.upstream.test_pools import SHORT

PATIENT = replace(SHORT, silence_secs=30.0)


@pytest.fixture(autouse=True)
def hashlib_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool's workers use hashlib, so that nothing is compiled; everything is sampled often."""

    def settings_of(config: Config) -> PoolSettings:
        return replace(pool_settings_of(config), engine="tests.hashing.fake_engine", kernel="fake", workers=1)

    monkeypatch.setattr(every_run, "pool_settings_of", settings_of)
    monkeypatch.setattr(status_module, "SAMPLE_SECS", 0.02)


def config_of(folder: Path, *pools: ScriptedPool, **values: Any) -> Config:
    known = [{"url": pool.config().url, "user": "rig.1", "password": SECRET} for pool in pools]
    overrides = {"mode": "pool", "network": "regtest", "data_dir": str(folder), "nice": 0, "pools": known, **values}
    return load_config(overrides=overrides, environ={})


class Running:
    """A run as a task; whatever is waited for is given up when it ends."""

    def __init__(self, config: Config, options: RunOptions | None = None, *, engine: FakeEngine | None = None) -> None:
        self.config = config
        more = [] if engine is None else [engine]
        self.run = PoolRun(config, options or RunOptions(), RecentEvents(), more, PATIENT)
        self.task = asyncio.create_task(self.run.run())

    @property
    def miner(self) -> PoolMiner | None:
        """Once it is there."""
        return None if self.run.parts is None else self.run.parts.work.miner

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                assert not self.task.done(), self.task.result()
                await asyncio.sleep(0.005)

    async def ask(self, what: str) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self.config.tree_dir, {"do": what})

    async def end(self) -> int:
        self.run.stop()
        return await asyncio.wait_for(self.task, 30)


def everything_in(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


async def test_it_mines_at_a_pool_and_its_records_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "solominer")
    counter = iter(range(2, 1000))

    def verdict(params: list[Any]) -> list[Any] | None:
        number = next(counter)  # a block: the next tip
        pool.say(notify(f"j{number}", 200 + number, prevhash=f"{number:064x}"))
        return None

    async with ScriptedPool(Script(verdict=verdict)) as pool:
        running = Running(config_of(tmp_path, pool), engine=FakeEngine(share_target=0, auto=1))
        await running.until(lambda: len(pool.shares) >= 8)
        status = (await running.ask("status"))["status"]
        assert await running.end() == 0
    assert (status["mode"], status["nodes"]) == ("pool", [])
    (told,) = status["pools"]
    assert (told["url"], told["user"]) == (pool.config().url, "rig.1")
    assert "BLOCK FOUND for stratum+tcp://127.0.0.1" in caplog.text
    assert "mining for a pool: found blocks are the pool's" in caplog.text
    folder = tmp_path / "pool-regtest"
    (file,) = folder.glob("reports/*/*/*/*/report.json")
    report = json.loads(file.read_text())
    (told,) = report["pools"]
    assert told["pool"] == pool.config().url
    assert told["blocks"] >= 8
    assert told["accepted"] >= 8
    assert report["blocks"]["found"] == 0, "they are the pool's"
    assert report["tree"] == "pool-regtest"
    result = verify(folder, thorough=True)
    assert result.holds, result.wrong
    assert any("mined for pool stratum+tcp://127.0.0.1" in line for line in result.lines())
    ledger = "".join(path.read_text() for path in folder.glob("ledger/*/*/*/*/ledger.jsonl"))
    assert '"mode":"pool"' in ledger
    assert SECRET not in caplog.text + everything_in(tmp_path)


async def test_status_and_screen_show_the_pools(tmp_path: Path) -> None:
    async with ScriptedPool() as pool, ScriptedPool(Script(authorize=[24, "no such user", None])) as closed:
        running = Running(config_of(tmp_path, closed, pool))
        await running.until(lambda: running.miner and running.miner.working)
        status = (await running.ask("status"))["status"]
        first, second = status["pools"]
        assert not first["active"]
        assert first["note"] == "it refuses user 'rig.1': no such user [24]"
        assert second["active"]
        text = "\n".join(status_lines(status))
        assert "pool on regtest: mining" in text
        assert f"pool {second['url']} as rig.1: in use; shares: " in text
        assert f"pool {first['url']} as rig.1: it refuses user" in text
        assert (await running.ask("pause"))["pauses"] == ["by hand"]
        await running.until(lambda: running.miner and running.miner.status == "paused: by hand")
        await running.ask("resume")
        await running.until(lambda: running.miner and running.miner.status == "mining")
        assert await running.end() == 0
    assert SECRET not in text


async def test_without_a_pool_it_waits_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with ScriptedPool(Script(silent=True)) as pool:
        running = Running(config_of(tmp_path, pool))
        await running.until(lambda: "not logged in within" in caplog.text)
        parts = running.run.parts
        assert parts is not None
        await running.until(lambda: any(worker.kernel for worker in parts.cpus.pool_snapshot().workers))
        assert (await running.ask("status"))["status"]["status"] == "waiting for a pool"
        assert await running.end() == 0
    assert "no hashes were computed: the daemon was waiting for a pool" in caplog.text


async def test_a_block_that_the_pool_never_answered_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool_run, "LAST_ANSWERS_SECS", 0.1)
    async with ScriptedPool() as pool:
        running = Running(config_of(tmp_path, pool), engine=FakeEngine(share_target=0, auto=1))

        def no_more(params: list[Any]) -> None:
            pool.script.silent = True

        pool.script.verdict = no_more
        await running.until(lambda: pool.script.silent and running.miner and running.miner.pool_blocks)
        pool.say(notify("j2", 201, prevhash=f"{201:064x}"))
        await running.until(lambda: running.miner and running.miner.pool_blocks >= 2)
        assert await running.end() == 0
    assert "answered to block" in caplog.text
    assert "nothing, the run ended before an answer" in caplog.text
    ledger = "".join(path.read_text() for path in tmp_path.glob("pool-regtest/ledger/*/*/*/*/ledger.jsonl"))
    assert '"outcome":"unanswered"' in ledger


async def test_limits_end_it(tmp_path: Path) -> None:
    async with ScriptedPool() as pool:
        engine = FakeEngine(share_target=0, auto=1)
        finds = Running(config_of(tmp_path / "c", pool), RunOptions(blocks=2), engine=engine)
        assert await asyncio.wait_for(finds.task, 30) == 0
        assert await asyncio.wait_for(Running(config_of(tmp_path / "a", pool), RunOptions(hashes=1)).task, 30) == 0
        assert await asyncio.wait_for(Running(config_of(tmp_path / "b", pool), RunOptions(secs=0.3)).task, 30) == 0


async def test_a_part_that_ends_by_itself_ends_the_run(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.raises.add("run")
    async with ScriptedPool() as pool:
        with pytest.raises(SolominerError, match="internal error"):
            await asyncio.wait_for(Running(config_of(tmp_path, pool), engine=engine).task, 30)


def test_the_mode_chooses_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: PoolRun) -> int:
        return 7

    monkeypatch.setattr(PoolRun, "run", nothing)
    config = load_config(
        overrides={"mode": "pool", "pools": ["stratum+tcp://u@h:1"], "data_dir": str(tmp_path)}, environ={}
    )
    assert daemon.run(config, RunOptions(), RecentEvents()) == 7
