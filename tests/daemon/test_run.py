"""A whole run without a bitcoind: fake nodes, a CPU pool whose kernel is hashlib, and a fake engine beside it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon import daemon as module
from solominer.daemon import every_run, executor
from solominer.daemon import status as status_module
from solominer.daemon.daemon import Run
from solominer.daemon.every_run import RunOptions
from solominer.daemon.nodes import nodes_of
from solominer.daemon.parts import pool_settings_of
from solominer.engines.pool.pool import PoolSettings
from solominer.errors import ConfigError, NodeUnreachable, SolominerError
from solominer.records.control_client import ask
from solominer.views.logs import RecentEvents
from tests.fakes import FakeEngine, FakeNode, FakeNodes


@pytest.fixture(autouse=True)
def hashlib_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool's workers use hashlib, so that nothing is compiled; everything is sampled often."""

    def settings_of(config: Config) -> PoolSettings:
        return replace(pool_settings_of(config), engine="tests.hashing.fake_engine", kernel="fake", workers=1)

    monkeypatch.setattr(every_run, "pool_settings_of", settings_of)
    monkeypatch.setattr(module, "TICK_SECS", 0.02)
    monkeypatch.setattr(status_module, "SAMPLE_SECS", 0.02)


def config_of(folder: Path, **values: Any) -> Config:
    return load_config(overrides={"mode": "test", "data_dir": str(folder), "nice": 0, **values}, environ={})


class Running:
    """A run as a task; whatever is waited for is given up when it ends."""

    def __init__(
        self, config: Config, options: RunOptions | None = None, *, nodes: Any = None, engine: FakeEngine | None = None
    ) -> None:
        self.nodes = nodes or FakeNodes()
        self.config = config
        more = [] if engine is None else [engine]
        self.run = Run(config, options or RunOptions(), RecentEvents(), more, self.nodes)
        self.task = asyncio.create_task(self.run.run())

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                assert not self.task.done(), self.task.result()
                await asyncio.sleep(0.005)

    async def mines(self) -> None:
        await self.until(lambda: self.run.executor is not None and self.run.executor.coordinator.working)

    async def ask(self, what: str) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self.config.tree_dir, {"do": what})

    async def end(self) -> int:
        self.run.stop()
        return await asyncio.wait_for(self.task, 60)


async def test_it_mines_the_blocks_that_were_asked_for_and_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "solominer")
    running = Running(config_of(tmp_path), RunOptions(blocks=2), engine=FakeEngine(auto=2))
    assert await asyncio.wait_for(running.task, 60) == 0
    assert running.run.executor is not None
    assert running.run.executor.coordinator.blocks.accepted_count == 2
    (report,) = tmp_path.glob("test-regtest/reports/*/*/*/*/report.json")
    assert json.loads(report.read_text())["hashes"], "hashes of the fake engine are reported"
    assert "no hashes were computed" not in caplog.text
    for text in ("shutting down: waiting for workers", "2 blocks accepted"):
        assert text in caplog.text


async def test_resume_names_the_policy_that_still_holds_mining(tmp_path: Path) -> None:
    config = config_of(tmp_path, **{"policies.max_price_per_kwh": 0.3, "electricity.price_per_kwh": 0.5})
    running = Running(config)
    price = "the price per kWh is 0.5, above 0.3"
    await running.until(lambda: running.run.executor and running.run.executor.coordinator.halted_by == {price})
    assert (await running.ask("pause"))["pauses"] == ["by hand", price]
    assert (await running.ask("resume"))["pauses"] == [price]
    reply = await running.ask("status")
    assert reply["pauses"] == [price]
    assert reply["status"]["status"] == f"paused: {price}"
    assert await running.end() == 0


async def test_a_signal_shuts_it_down_and_a_second_one_exits_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "solominer")
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    running = Running(config_of(tmp_path))
    await running.mines()
    os.kill(os.getpid(), signal.SIGTERM)
    await running.until(running.run._stop.is_set)
    os.kill(os.getpid(), signal.SIGTERM)
    await running.until(lambda: codes)
    assert await asyncio.wait_for(running.task, 60) == 0
    assert codes == [every_run.EXIT_SECOND_SIGNAL]
    assert "SIGTERM: shutting down; repeat to exit immediately" in caplog.text


@pytest.mark.parametrize("broken", [1, 1000])
async def test_at_the_end_a_new_block_is_sent_again_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: int
) -> None:
    """The connection breaks at its first submission, or at each, and the run is ended at once."""
    monkeypatch.setattr(executor, "FRESH_SECS", 60.0 if broken == 1 else 0.6)
    engine = FakeEngine()
    running = Running(config_of(tmp_path), engine=engine)
    await running.mines()
    node = running.nodes.nodes["a"]
    node.answers.extend([NodeUnreachable("connection reset")] * broken)
    engine.find(block=True)
    await running.until(lambda: node.submitted)
    assert await running.end() == 0
    left = "is in no node's chain yet: it is submitted again at the next start" in caplog.text
    assert running.run.executor is not None
    assert (running.run.executor.coordinator.blocks.accepted_count, left) == ((1, False) if broken == 1 else (0, True))
    assert len(node.submitted) >= 2


async def test_a_head_that_is_replaced_ends_within_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its node answers nothing, an engine does not stop, a block is under way: each step alone would wait longer."""
    bounds: list[tuple[float, int]] = []
    monkeypatch.setattr(module, "SHUTDOWN_SECS", 0.5)
    monkeypatch.setattr(module, "LAST_ANSWERS_SECS", 60.0)
    monkeypatch.setattr(module, "exit_after", lambda secs, code: bounds.append((secs, code)))
    sent = asyncio.Event()

    async def submit(block_hex: str) -> Any:
        sent.set()
        await asyncio.Event().wait()

    engine = FakeEngine()
    stop, stops = engine.stop, list[float]()

    async def slow_stop(timeout_secs: float) -> None:
        stops.append(timeout_secs)
        await asyncio.sleep(timeout_secs if len(stops) == 1 else 0)  # the second is the one of the stack
        await stop(timeout_secs)

    monkeypatch.setattr(engine, "stop", slow_stop)
    running = Running(config_of(tmp_path), engine=engine)
    await running.mines()
    monkeypatch.setattr(running.nodes.nodes["a"], "submit", submit)
    engine.find(block=True)
    await sent.wait()
    running.run._overtake()
    with pytest.raises(SolominerError, match="another daemon has become the head of this cluster"):
        await asyncio.wait_for(running.task, 30)
    assert stops[0] < 0.5
    assert bounds == [(module.REPLACED_SECS, 1)]
    assert module.REPLACED_SECS > module.SHUTDOWN_SECS


async def test_a_part_that_ends_by_itself_ends_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine()
    engine.raises.add("run")
    running = Running(config_of(tmp_path), engine=engine)
    with pytest.raises(SolominerError, match="internal error"):
        await asyncio.wait_for(running.task, 60)
    assert "the fake engine was asked to raise in run" in caplog.text
    assert "a part of the daemon ended unexpectedly" in caplog.text


async def test_limits_end_it(tmp_path: Path) -> None:
    running = Running(config_of(tmp_path / "hashes"), RunOptions(hashes=1))
    assert await asyncio.wait_for(running.task, 60) == 0
    running = Running(config_of(tmp_path / "secs"), RunOptions(blocks=10_000, secs=0.5))
    assert await asyncio.wait_for(running.task, 60) == 1, "fewer blocks than asked for"


async def test_it_waits_for_a_node_and_may_be_stopped_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(FakeNode):
        async def must_sign(self) -> bool:
            raise NodeUnreachable("it does not answer")

        def may_recover(self, error: Any) -> bool:
            return recovers

    class Nodes(FakeNodes):
        async def __call__(self, config: Any, post: Any, stack: Any) -> Any:
            return {"a": Away("a", post, self.chain)}

    recovers = True
    for mode, code in (("regtest", 0), ("test", 1)):  # a validation run has validated nothing
        caplog.clear()
        running = Running(config_of(tmp_path, mode=mode), nodes=Nodes())
        await running.until(lambda: "waiting for node a: it does not answer" in caplog.text)
        assert await running.end() == code
        assert "stopped before a node answered: nothing was mined" in caplog.text
    recovers = False
    with pytest.raises(NodeUnreachable):
        await Running(config_of(tmp_path), nodes=Nodes()).task


async def test_the_view_is_lines_or_a_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "solominer")
    shown: list[Any] = []

    class View:
        def __enter__(self) -> View:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def show(self, snapshot: Any) -> None:
            shown.append(snapshot)

    monkeypatch.setattr(every_run, "ConsoleView", View)
    monkeypatch.setattr(every_run, "DRAW_SECS", 0.01)
    monkeypatch.setattr(every_run, "STATUS_LINE_SECS", 0.01)
    running = Running(config_of(tmp_path), RunOptions(live_view=True))
    await running.until(lambda: len(shown) > 1)
    assert await running.end() == 0
    running = Running(config_of(tmp_path))
    await running.until(lambda: " accepted, " in caplog.text)
    assert await running.end() == 0


async def test_sighup_reloads_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "solominer")
    monkeypatch.setattr(every_run, "has_controlling_terminal", lambda: False)
    changed = config_of(tmp_path, refresh_secs=7, cpu_cores_reserved=4096)
    running = Running(config_of(tmp_path), RunOptions(reload=lambda: changed))
    await running.mines()
    os.kill(os.getpid(), signal.SIGHUP)
    await running.until(lambda: "reloaded: refresh_secs: 30.0 -> 7.0" in caplog.text)
    assert running.run.executor is not None
    await running.until(lambda: running.run.executor.coordinator.policy.refresh_secs == 7)  # type: ignore[union-attr]
    assert await running.end() == 0


async def test_a_reload_changes_the_stratum_listeners(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        first, second = (f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other))
        one.close()
        changed = config_of(tmp_path, stratum=[first, second])
        running = Running(config_of(tmp_path, stratum=first), RunOptions(reload=lambda: changed))
        await running.mines()
        *_, problem = (await running.ask("reload"))["changes"]
        assert problem.startswith(f"stratum: the Stratum server cannot listen on stratum+tcp://{second}: ")
        other.close()
        await running.ask("reload")
        urls = [f"{scheme}://{each}" for each in (first, second) for scheme in ("stratum+tcp", "stratum2+tcp")]
        shown = (await running.ask("status"))["status"]["stratum_urls"]
        assert [url.rpartition("/9")[0] or url for url in shown] == urls
        assert await running.end() == 0


async def test_the_first_listener_needs_a_restart(tmp_path: Path) -> None:
    changed = config_of(tmp_path, stratum="127.0.0.1:3333")
    running = Running(config_of(tmp_path), RunOptions(reload=lambda: changed))
    await running.mines()
    assert (await running.ask("reload"))["changes"][-1] == "stratum: adding the first listener requires a restart"
    assert await running.end() == 0


async def test_a_terminal_that_is_closed_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(every_run, "has_controlling_terminal", lambda: True)
    running = Running(config_of(tmp_path))
    await running.mines()
    os.kill(os.getpid(), signal.SIGHUP)
    assert await asyncio.wait_for(running.task, 60) == 0


def test_run_begins_a_loop_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Run) -> int:
        return 3

    monkeypatch.setattr(Run, "run", nothing)
    assert module.run(config_of(tmp_path), RunOptions(), RecentEvents()) == 3


async def test_demo_mines_on_a_simulated_node(tmp_path: Path) -> None:
    config = load_config(
        overrides={"mode": "demo", "network": "regtest", "data_dir": str(tmp_path), "nice": 0}, environ={}
    )
    running = Running(config, RunOptions(blocks=1), nodes=nodes_of)
    assert await asyncio.wait_for(running.task, 60) == 0
    assert running.run.executor is not None
    assert running.run.executor.coordinator.demo_blocks == 1


async def test_blocks_of_an_earlier_run_are_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "solominer")
    nodes = FakeNodes()
    assert await asyncio.wait_for(Running(config_of(tmp_path), RunOptions(blocks=1), nodes=nodes).task, 60) == 0
    running = Running(config_of(tmp_path), nodes=FakeNodes(chain=nodes.chain))
    await running.until(lambda: "still tracking block" in caplog.text)
    assert await running.end() == 0


async def test_dry_run_without_a_policy_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = Running(config_of(tmp_path, **{"policies.dry_run": True}))
    await running.until(lambda: "policies.dry_run has no effect" in caplog.text)
    await running.mines()
    assert await running.end() == 0


async def test_nodes_have_names_of_their_own_and_a_payout(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        rpc = {"bitcoin_rpc.host": "127.0.0.1", "bitcoin_rpc.port": 1, "bitcoin_rpc.username": "u"}
        config = config_of(tmp_path, **rpc, **{"bitcoin_rpc.password": "p"})
        (node,) = (await nodes_of(config, lambda event: None, stack)).values()
        assert node.name == "127.0.0.1:1"
        await node.close()
    running = Running(load_config(overrides={"mode": "testnet4", "data_dir": str(tmp_path)}, environ={}))
    with pytest.raises(ConfigError, match="payout_address is not set"):
        await running.task
