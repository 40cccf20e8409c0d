"""The governor: every reason for a pause is named until it is gone, whoever it comes from; intensity and reloads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from solominer.chain.fields import Field
from solominer.config.load import load_config
from solominer.config.models import Config, reloads_live
from solominer.config.steering import PoliciesConfig
from solominer.engines.engine_set import EngineSet
from solominer.engines.pool.job_slot import SharedBlock
from solominer.engines.pool.pool import PoolSettings, WorkerPool
from solominer.errors import ConfigError
from solominer.governor import governor as module
from solominer.governor.governor import BY_HAND, STOPPING, Governor
from solominer.governor.policies import Electricity, Policies
from solominer.governor.throttle import HOT, SensorReadings
from solominer.work.events import Event
from solominer.work.instant import Instant
from solominer.work.workers import EngineSnapshot, ExtranonceDealer, WorkerId, WorkerSnapshot
from tests.views.test_views import SNAPSHOT
from tests.web import states
from tests.work.builders import mining

NOON = datetime(2026, 11, 21, 12).astimezone().timestamp()


class Bench:
    """A governor over a coordinator that mines; its events reach the coordinator at once."""

    def __init__(self, tmp_path: Path, wall: float = NOON, **options: Any) -> None:
        self.tmp_path = tmp_path
        self.wall, self.mono = wall, 1000.0
        self.coordinator, self.job = mining()
        self.shares: list[float] = []
        self.stops = 0
        self.next: Config | ConfigError | None = None
        snapshot = options.pop("snapshot", lambda: pytest.fail("not asked for"))
        self.governor = Governor(
            self.config(**options.pop("config", {})),
            self.coordinator,
            self.post,
            self,
            snapshot,
            self.stop,
            lambda: Instant(self.wall, self.mono),
            reload=self.reload,
            **options,
        )

    def config(self, **values: Any) -> Config:
        return load_config(overrides={"mode": "regtest", "data_dir": str(self.tmp_path), **values}, environ={})

    def post(self, event: Event) -> None:
        self.coordinator.handle(event)

    def set_intensity(self, share: float) -> None:
        self.shares.append(share)

    def stop(self) -> None:
        self.stops += 1

    def reload(self) -> Config:
        if isinstance(self.next, ConfigError):
            raise self.next
        assert self.next is not None
        return self.next

    def ask(self, what: str) -> dict[str, Any]:
        answer = self.governor.handlers()[what](Field({"do": what}, "the request"))
        assert isinstance(answer, dict)
        return answer

    async def ask_to_reload(self) -> list[str]:
        answer = self.governor.handlers()["reload"](Field({"do": "reload"}, "the request"))
        assert isinstance(answer, Awaitable)
        changes: list[str] = (await answer)["changes"]
        return changes

    def pass_time(self, secs: float) -> None:
        self.wall += secs
        self.mono += secs
        self.governor.apply_schedule()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            running = asyncio.create_task(self.governor.run())
            while not holds():
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def test_resume_names_every_reason_that_remains(tmp_path: Path) -> None:
    bench = Bench(tmp_path, config={"schedule.hours": "13:00-14:00"}, snapshot=states.snapshot)
    outside = "outside the mining hours"
    bench.governor.take_policies(0.0, ["the price per kWh is 0.5, above 0.3"])
    assert bench.ask("pause") == {"pauses": [BY_HAND, outside, "the price per kWh is 0.5, above 0.3"]}
    assert bench.ask("resume") == {"pauses": [outside, "the price per kWh is 0.5, above 0.3"]}
    assert bench.coordinator.status == f"paused: {outside}, the price per kWh is 0.5, above 0.3"
    bench.pass_time(3600)
    assert bench.ask("resume") == {"pauses": ["the price per kWh is 0.5, above 0.3"]}
    bench.governor.take_policies(0.25, ["outside the electricity hours"])
    assert bench.governor.pauses == []
    assert bench.shares == [0.25]
    assert bench.governor.snapshot().intensity == 0.25
    assert not bench.coordinator.status.startswith("paused")


def test_the_same_reason_of_two_sources_holds_until_both_have_gone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.ask("pause")
    bench.governor.take_policies(0.0, [BY_HAND])
    bench.ask("resume")
    assert bench.coordinator.status == f"paused: {BY_HAND}"
    bench.governor.take_policies(1.0, [])
    assert not bench.coordinator.halted_by


def test_nothing_takes_back_the_end_of_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.governor.stopping()
    bench.governor.take_policies(1.0, [])
    assert bench.ask("resume") == {"pauses": [STOPPING]}
    assert not bench.coordinator.working


def test_policies_cannot_start_a_second_worker_on_a_signed_chain() -> None:
    pool = WorkerPool(PoolSettings(4), lambda: Instant(0.0, 0.0))
    pool._shared, pool._seats = SharedBlock.create(4), [pool._new_seat(index) for index in range(4)]
    try:
        _, job = mining()
        engines = EngineSet([pool], ExtranonceDealer(1))
        engines.publish(replace(job, signed_extranonce=bytes(12)), clean=True)
        for share in (1.0, 0.5, 1.0):
            engines.set_intensity(share)
            assert pool.pool_snapshot().active == 1
        pool.apply(PoolSettings(3))
        assert pool.pool_snapshot().active == 1
        engines.publish(job, clean=True)
        assert pool.pool_snapshot().active == 3, "the policies want all, and a core more is reserved"
        engines.set_intensity(0.25)
        assert pool.apply(PoolSettings(8)) == ["more than 4 workers need a restart"]
        assert pool.pool_snapshot().active == 1, "more cores do not undo what the policies want"
    finally:
        pool._shared.close()


def test_nice_changes_for_running_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def __init__(self, pid: int) -> None:
            if pid == 1:
                raise psutil.NoSuchProcess(pid)
            self.pid = pid

        def nice(self, value: int) -> None:
            if value < 5:
                raise psutil.AccessDenied(self.pid)
            given[self.pid] = value

    class Child:
        def __init__(self, pid: int) -> None:
            self.pid = pid

        def ring(self) -> None:
            pass

    given: dict[int, int] = {}
    monkeypatch.setattr(psutil, "Process", Process)
    pool = WorkerPool(PoolSettings(3), lambda: Instant(0.0, 0.0))
    pool._shared, pool._seats = SharedBlock.create(3), [pool._new_seat(index) for index in range(3)]
    children: list[Any] = [Child(1), Child(2)]
    for seat, child in zip(pool._seats, children, strict=False):
        seat.process = child
    try:
        assert pool.apply(PoolSettings(3, nice=7)) == []
        assert given == {2: 7}
        assert pool.apply(PoolSettings(3, nice=0)) == [
            "no permission to lower nice to 0 for running workers; restart to apply it"
        ]
    finally:
        pool._shared.close()


def test_hours_end_and_begin_by_the_clock_and_the_last_day_ends_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, config={"schedule.hours": "08:00-13:00", "schedule.days": 1})
    assert bench.governor.pauses == []
    bench.pass_time(2 * 3600)
    assert bench.governor.pauses == ["outside the mining hours"]
    assert bench.stops == 0
    bench.pass_time(22 * 3600)
    assert bench.stops == 1


def test_blocks_of_a_day_and_the_pace_are_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_blocks=9, config={"schedule.blocks_per_day": 2, "schedule.block_interval_secs": 600})
    assert bench.coordinator.policy.max_blocks == 1
    bench.coordinator.demo_blocks = 1
    bench.pass_time(1)
    assert bench.governor.pauses == ["the block interval has not passed"]
    bench.pass_time(600)
    assert bench.coordinator.policy.max_blocks == 2
    bench.coordinator.demo_blocks = 2
    bench.pass_time(1)
    assert bench.governor.pauses == ["today's limit of 2 blocks is reached"]
    bench.pass_time(86_400)
    assert bench.governor.pauses == []
    assert bench.coordinator.policy.max_blocks == 3


async def test_a_reload_applies_what_is_live_and_names_what_is_not(tmp_path: Path) -> None:
    applied: list[Config] = []

    async def apply(config: Config) -> list[str]:
        applied.append(config)
        return ["the engine needs a restart"]

    bench = Bench(tmp_path, apply=apply)
    bench.next = bench.config(refresh_secs=5, poll_secs=2, **{"throttle.max_temperature_c": 70, "schedule.days": 3})
    assert await bench.ask_to_reload() == [
        "refresh_secs: 30.0 -> 5.0",
        "poll_secs: 1.0 -> 2.0 (needs a restart)",
        "schedule.days: forever -> 3",
        "throttle.max_temperature_c: None -> 70.0",
        "the engine needs a restart",
    ]
    assert applied == [bench.next]
    assert bench.coordinator.policy.refresh_secs == 5
    bench.next = bench.config(**{"bitcoin_rpc.host": "x", "bitcoin_rpc.username": "u", "bitcoin_rpc.password": "one"})
    await bench.ask_to_reload()
    bench.next = bench.config(**{"bitcoin_rpc.host": "x", "bitcoin_rpc.username": "u", "bitcoin_rpc.password": "two"})
    assert (await bench.ask_to_reload())[0] == "bitcoin_rpc.password: changed (needs a restart)"


async def test_a_change_that_is_taken_back_needs_no_restart(tmp_path: Path) -> None:
    node = {"bitcoin_rpc.host": "x", "bitcoin_rpc.username": "u", "bitcoin_rpc.password": "one"}
    bench = Bench(tmp_path, config={"more_nodes": ["a:1"], **node})
    first = bench.governor.config
    bench.next = bench.config(more_nodes=["a:1", "b:2"], **{**node, "bitcoin_rpc.password": "two"}, poll_secs=2)
    assert all(line.endswith(" (needs a restart)") for line in await bench.ask_to_reload())
    bench.next = first
    lines = await bench.ask_to_reload()
    assert "poll_secs: 2.0 -> 1.0 (as this run has it)" in lines
    assert all(line.endswith(" (as this run has it)") for line in lines)
    assert lines[-1].startswith("bitcoin_rpc.password: changed")


async def test_a_reload_that_cannot_be_used_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    bench.next = ConfigError("it is no JSON", "mend it")
    before = bench.governor.config
    with pytest.raises(ConfigError, match="no JSON"):
        await bench.ask_to_reload()
    await bench.governor.reload_by_signal()
    assert "reload failed, nothing was changed: it is no JSON" in caplog.text
    assert bench.governor.config is before
    bench.governor._read_again = None
    with pytest.raises(ConfigError, match="no configuration file"):
        await bench.governor.reload()


async def test_a_change_inside_a_list_is_named_by_its_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path, config={"stratum": ["127.0.0.1:3333", "127.0.0.1:3334"]})
    bench.next = bench.config(stratum=["127.0.0.1:3333", {"listen": "127.0.0.1:3334", "least_difficulty": 8}])
    assert await bench.ask_to_reload() == ["stratum.1.least_difficulty: 0.0 -> 8.0"]
    bench.next = bench.config(stratum=["127.0.0.1:3333"])
    (change,) = await bench.ask_to_reload()
    assert change.startswith("stratum: [{'listen': '127.0.0.1:3333', ")


@pytest.mark.parametrize(
    "key", ["log_level", "schedule.hours", "throttle.pause_on_battery", "nice", "max_memory_gb", "stratum.0.proxies"]
)
def test_live_settings_say_so(key: str) -> None:
    assert reloads_live(key)


@pytest.mark.parametrize("key", ["mode", "policies.hours", "bitcoin_rpc.host", "more_nodes", "records.keep_days"])
def test_the_others_need_a_restart(key: str) -> None:
    assert not reloads_live(key)


async def test_it_follows_throttle_policies_and_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "THROTTLE_SECS", 0.001)
    monkeypatch.setattr(module, "SCHEDULE_SECS", 0.001)

    async def unknown() -> None:
        return None

    policies = Policies(
        PoliciesConfig(max_price_per_kwh=0.3),
        Electricity(price_per_kwh=0.5),
        lambda: (EngineSnapshot("cpu", (WorkerSnapshot(WorkerId("cpu", "0"), "hashing"),), 1),),
        note=lambda at, kind, fields: None,
        forecast=unknown,
        clock=lambda: Instant(NOON, 1.0),
    )
    config = {"throttle.max_temperature_c": 70, "throttle.resume_after_secs": 0, "schedule.hours": "08:00-13:00"}
    bench = Bench(tmp_path, config=config, policies=policies)
    heat = {"c": 71.0}
    monkeypatch.setattr(bench.governor, "_read_sensors", lambda: SensorReadings(temperature_c=heat["c"]))
    await bench.until(lambda: HOT in bench.governor.pauses and len(bench.governor.pauses) == 2)
    heat["c"] = 50.0
    bench.wall += 7200
    await bench.until(
        lambda: bench.governor.pauses == ["outside the mining hours", "the price per kWh is 0.5, above 0.3"]
    )


def test_status_is_json_without_infinity(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path, snapshot=lambda: replace(SNAPSHOT, rate_high_hps=float("inf")))
    with caplog.at_level(logging.INFO, "solominer.governor.governor"):
        bench.ask("pause")
    assert caplog.messages == ["paused: by hand"]
    reply = bench.ask("status")
    assert reply["pauses"] == [BY_HAND]
    assert reply["status"]["rate_high_hps"] is None
