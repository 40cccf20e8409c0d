"""Modes and schedules against a real node: staging submits nothing, test ends and judges, the chain ticks as asked."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from solominer.config.models import Config
from solominer.daemon.daemon import run
from solominer.daemon.every_run import RunOptions
from solominer.errors import AlreadyRunning
from solominer.governor.throttle import SensorReadings
from solominer.node.private.node import PrivateNode
from solominer.records.control_client import ask
from solominer.views.logs import RecentEvents
from tests.e2e.harness import RunningMiner, config_for

pytestmark = pytest.mark.e2e

STAGED = 20


def mine(config: Config, **options: Any) -> int:
    return run(config, RunOptions(**options), RecentEvents())


def ledger(config: Config) -> list[dict[str, Any]]:
    paths = sorted(config.tree_dir.glob("ledger/*/*/*/*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_staging_validates_and_submits_nothing(node: PrivateNode, tmp_path: Path) -> None:
    address = node.call("decodescript", "0014" + "11" * 20)["address"]
    config = config_for(node, tmp_path, mode="staging", network="regtest", payout_address=address)
    assert mine(config, blocks=STAGED, secs=60) == 0
    assert node.call("getblockcount") == 0
    assert node.call("getchaintips") == [
        {"height": 0, "hash": config.chain.genesis_hex, "branchlen": 0, "status": "active"}
    ]
    entries = ledger(config)
    answers = [entry for entry in entries if entry["kind"] == "block_answer"]
    assert Counter(entry["answer"] for entry in answers) == {"accepted": len(answers)}
    assert len({entry["hash"] for entry in answers}) >= STAGED
    assert all(entry["staged"] for entry in entries if entry["kind"] == "block_found")


def test_test_mode_ends_with_a_result(node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_for(node, tmp_path / "good", mode="test")
    assert mine(config, blocks=3, secs=60) == 0
    assert node.call("getblockcount") == 3
    assert mine(config_for(node, tmp_path / "short", mode="test"), blocks=1000, secs=0.5) == 1
    after = node.call("getblockcount")
    bounded = config_for(node, tmp_path / "hashes", mode="test", **{"schedule.block_interval_secs": 60})
    assert mine(bounded, hashes=1, secs=60) == 0
    assert node.call("getblockcount") == after + 1


def test_blocks_per_day_are_not_exceeded_by_one(node: PrivateNode, tmp_path: Path) -> None:
    """Blocks come within milliseconds here; the day's number is kept all the same, over a restart too."""
    config = config_for(node, tmp_path, **{"schedule.blocks_per_day": 3})
    assert mine(config, blocks=3, secs=60) == 0
    assert mine(config, secs=2.5) == 0
    if datetime.now().astimezone().date() == datetime.fromtimestamp(first_found(config)).astimezone().date():
        assert node.call("getblockcount") == 3


def first_found(config: Config) -> float:
    return float(next(entry["at"] for entry in ledger(config) if entry["kind"] == "block_found"))


def test_chain_ticks_at_the_interval(node: PrivateNode, tmp_path: Path) -> None:
    config = config_for(node, tmp_path, **{"schedule.block_interval_secs": 1})
    assert mine(config, blocks=4, secs=60) == 0
    found, resumed = (
        [entry["at"] for entry in ledger(config) if entry["kind"] == kind] for kind in ("block_found", "resumed")
    )
    gaps = [after - before for before, after in pairwise(found)]
    assert len(gaps) == 3
    assert min(gaps) >= 0.9
    waits = [after - before for before, after in zip(found, resumed, strict=False)]
    assert len(waits) >= 3
    assert max(waits) < 3, "the next block may be searched for in time"


async def test_outside_the_mining_hours_nothing_is_hashed(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = datetime.now().astimezone() + timedelta(hours=2)
    hours = f"{soon:%H}:00-{soon:%H}:01"
    config = config_for(node, tmp_path, **{"schedule.hours": hours})
    async with RunningMiner(monkeypatch, config) as miner:
        coordinator = miner.coordinator
        await miner.until(
            lambda: coordinator.status == "paused: outside the mining hours" and coordinator.templates.latest
        )
        await asyncio.sleep(1)  # it could mine now
    assert miner.jobs == []
    assert node.call("getblockcount") == 0
    paused = [entry["reason"] for entry in ledger(config) if entry["kind"] == "paused"]
    assert "outside the mining hours" in paused


def test_two_on_one_folder(node: PrivateNode, tmp_path: Path) -> None:
    from solominer.records.lock import FolderLock

    lock = FolderLock(tmp_path)
    lock.acquire()
    with pytest.raises(AlreadyRunning, match="pid"):
        mine(config_for(node, tmp_path), secs=1)
    lock.release()


async def test_the_throttle_pauses_and_resumes(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too hot: the workers stop; cool for long enough: they go on. Somebody who resumes by hand cools nothing."""
    temperature = [40.0]
    monkeypatch.setattr("solominer.governor.governor.THROTTLE_SECS", 0.02)
    monkeypatch.setattr(
        "solominer.governor.throttle.Sensors.read", lambda self: SensorReadings(temperature_c=temperature[0])
    )
    config = config_for(node, tmp_path, **{"throttle.max_temperature_c": 80, "throttle.resume_after_secs": 0})
    async with RunningMiner(monkeypatch, config, unsolvable=True) as miner:
        await miner.until(lambda: miner.coordinator.working)
        temperature[0] = 90.0
        await miner.until(lambda: miner.coordinator.status == "paused: temperature")
        folder = config.tree_dir
        assert (await asyncio.to_thread(ask, folder, {"do": "pause"}))["pauses"] == ["by hand", "temperature"]
        assert (await asyncio.to_thread(ask, folder, {"do": "resume"}))["pauses"] == ["temperature"]
        assert not miner.coordinator.working
        temperature[0] = 60.0
        await miner.until(lambda: miner.coordinator.working)
        assert miner.coordinator.status == "mining"
