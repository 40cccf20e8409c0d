"""The policies at work on workers that only count: reported once, logged with the reason, reversed, and not at all when
dry; prices that are stale and forecasts that fail leave things as they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from solominer.chain.networks import MAINNET, REGTEST, Network
from solominer.config.load import load_config
from solominer.config.steering import ElectricityConfig, PoliciesConfig
from solominer.daemon.host_metrics import now
from solominer.errors import ConfigError, NodeError
from solominer.governor.policies import Electricity, Policies, electricity_of, forecast_from
from solominer.governor.prices import PriceSource
from solominer.node.client import NodeClient, NodeSettings
from solominer.node.credentials import UserPassword
from solominer.node.demo import DemoNode
from solominer.work.instant import Instant
from solominer.work.ports import DifficultyForecast
from solominer.work.workers import EngineSnapshot, WorkerId, WorkerSnapshot
from tests.node.fake_chain import FakeChain
from tests.node.fake_node import FakeNode

NIGHT, DAY = (datetime(2026, 11, 21, hour, tzinfo=UTC) for hour in (23, 12))


class Bench:
    """Policies on four workers, which follow what is reported; `hashes` is what they have done."""

    def __init__(self, settings: PoliciesConfig, electricity: Electricity | None = None) -> None:
        self.active = 4
        self.hashes = 0
        self.reports: list[tuple[float, tuple[str, ...]]] = []
        self.notes: list[Mapping[str, Any]] = []
        self.forecasts: list[DifficultyForecast | NodeError | None] = []
        self.asked = 0
        self.mono = 0.0
        self.policies = Policies(
            settings,
            electricity or Electricity(),
            self.snapshot,
            note=lambda at, kind, fields: self.notes.append(fields),
            forecast=self.forecast,
            clock=lambda: Instant(0.0, self.mono),
        )

    def report(self, share: float, reasons: tuple[str, ...]) -> None:
        self.reports.append((share, reasons))
        if share:
            self.active = round(4 * share)

    def snapshot(self) -> tuple[EngineSnapshot, ...]:
        return (EngineSnapshot("cpu", tuple(self.worker(index) for index in range(4)), self.active),)

    def worker(self, index: int) -> WorkerSnapshot:
        state = "hashing" if index < self.active else "paused"
        return WorkerSnapshot(WorkerId("cpu", str(index)), state, self.hashes if index == 0 else 0)

    async def forecast(self) -> DifficultyForecast | None:
        self.asked += 1
        answer = self.forecasts.pop(0)
        if isinstance(answer, NodeError):
            raise answer
        return answer

    def look(self, local: datetime = DAY, at: float = 0.0, rate_hps: float = 0.0) -> int:
        """A minute passes at this rate; how many workers are wanted then."""
        self.mono += 60
        self.hashes += int(60 * rate_hps)
        return self.policies.evaluate(Instant(at, self.mono), local, self.report).active


def test_hours_lower_and_raise_the_intensity(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(PoliciesConfig(hours="22:00-06:00", intensity_outside=0.25))
    with caplog.at_level(logging.INFO, "solominer.governor.policies"):
        for local, active in ((NIGHT, 4), (NIGHT, 4), (DAY, 1), (DAY, 1), (NIGHT, 4)):
            assert bench.look(local) == active
            assert bench.active == active
    assert [record.getMessage() for record in caplog.records] == [
        "policies: 4 of 4 workers: no limit applies",
        "policies: 1 of 4 workers: outside the electricity hours 22:00-06:00",
        "policies: 4 of 4 workers: no limit applies",
    ]
    assert [note["active"] for note in bench.notes] == [4, 1, 4]
    assert [share for share, _ in bench.reports] == [1.0, 0.25, 1.0]


def test_the_exact_intensity_is_reported_for_cards_that_rest(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(PoliciesConfig(intensity=0.9, hours="22:00-06:00", intensity_outside=0.8))
    with caplog.at_level(logging.INFO, "solominer.governor.policies"):
        assert [bench.look(NIGHT), bench.look(DAY)] == [4, 4]
    assert [share for share, _ in bench.reports] == [0.9, 0.8]
    assert [record.getMessage() for record in caplog.records] == [
        "policies: 4 of 4 workers at an intensity of 90%: no limit applies",
        "policies: 4 of 4 workers at an intensity of 80%: outside the electricity hours 22:00-06:00",
    ]


def test_intensity_zero_is_reported_with_its_reason() -> None:
    bench = Bench(PoliciesConfig(hours="22:00-06:00", intensity_outside=0.0))
    bench.look(DAY)
    bench.look(DAY)
    bench.look(NIGHT)
    assert bench.reports == [(0.0, ("outside the electricity hours 22:00-06:00",)), (1.0, ())]


def test_a_pause_is_reported_again_when_its_reasons_change() -> None:
    bench = Bench(
        PoliciesConfig(hours="22:00-06:00", intensity_outside=0.0, max_price_per_kwh=0.3), Electricity(None, 0.5)
    )
    for local in (DAY, DAY, NIGHT):
        assert bench.look(local) == 0
    price = "the price per kWh is 0.5, above 0.3"
    assert bench.reports == [(0.0, ("outside the electricity hours 22:00-06:00", price)), (0.0, (price,))]
    assert len(bench.notes) == 1


def test_a_dry_run_logs_and_reports_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(PoliciesConfig(hours="22:00-06:00", intensity_outside=0.0, dry_run=True))
    with caplog.at_level(logging.INFO, "solominer.governor.policies"):
        assert bench.look(DAY) == 0
    assert "policies (dry run): pause: outside" in caplog.text
    assert bench.notes[0]["dry_run"] is True
    assert (bench.reports, bench.active) == ([], 4)


async def test_run_looks_and_reports_until_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async def reported(**settings: Any) -> tuple[float, tuple[str, ...]]:
        bench = Bench(PoliciesConfig(look_secs=0.01, **settings), Electricity(source=source))
        got: asyncio.Future[tuple[float, tuple[str, ...]]] = asyncio.get_running_loop().create_future()

        def report(share: float, reasons: tuple[str, ...]) -> None:
            got.set_result((share, reasons))

        running = asyncio.create_task(bench.policies.run(report))
        answer = await asyncio.wait_for(got, 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return answer

    source = PriceSource("http://x", "", scale=1, refresh_secs=900, stale_secs=3600, fetch=lambda url: b"0.5")
    source.fetch()
    assert await reported(intensity=0.5) == (0.5, ())
    assert await reported(max_price_per_kwh=0.3) == (0.0, ("the price per kWh is 0.5, above 0.3",))
    bench = Bench(PoliciesConfig(intensity=0.5, dry_run=True))
    running = asyncio.create_task(bench.policies.run(bench.report))
    while not bench.notes:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "dry run, decisions are logged only" in caplog.text
    assert bench.reports == []


def test_workers_are_added_by_the_measured_rate() -> None:
    bench = Bench(PoliciesConfig(intensity=0.25, target_rate_hps=30e6))
    assert [bench.look(rate_hps=10e6 * bench.active) for _ in range(8)] == [1, 1, 2, 2, 3, 3, 3, 3]
    assert bench.active == 3


def test_a_dry_run_imagines_the_workers_that_it_speaks_of() -> None:
    bench = Bench(PoliciesConfig(intensity=0.25, target_rate_hps=30e6, dry_run=True))
    assert [bench.look(rate_hps=40e6) for _ in range(5)] == [1, 2, 3, 3, 3]
    assert bench.active == 4


async def test_the_difficulty_forecast_lowers_and_is_asked_for_once_an_hour() -> None:
    bench = Bench(PoliciesConfig(difficulty_factor=1.05))
    bench.forecasts = [DifficultyForecast(1e12, 1.1), NodeError("away"), DifficultyForecast(1e12, 1.0), None]
    active = []
    for mono in (0.0, 60.0, 3600.0, 3660.0, 3900.0, 7500.0):
        await bench.policies.refresh_forecast(mono)
        active.append(bench.look())
    assert active == [2, 2, 4, 4, 4, 4]
    assert bench.asked == 4


async def test_no_forecast_is_asked_for_unless_a_policy_needs_it() -> None:
    bench = Bench(PoliciesConfig(hours="22:00-06:00"))
    await bench.policies.refresh_forecast(0.0)
    assert bench.asked == 0


def test_a_dear_kwh_stops_and_a_stale_price_does_not(caplog: pytest.LogCaptureFixture) -> None:
    source = PriceSource("http://x", "", scale=1, refresh_secs=900, stale_secs=3600, fetch=lambda url: b"0.5")
    bench = Bench(PoliciesConfig(max_price_per_kwh=0.3), Electricity(source=source))
    assert bench.look() == 4, "no price yet: the policy rests"
    fetched = source.fetch().at
    assert bench.look(at=fetched + 60) == 0
    with caplog.at_level(logging.INFO, "solominer.governor.policies"):
        assert bench.look(at=fetched + 3700) == 4
    assert "(the price is stale and was ignored)" in caplog.text
    assert bench.notes[-1]["price_is_stale"] is True
    assert bench.notes[1]["price_per_kwh"] == 0.5


async def test_a_pause_for_the_cost_of_a_block_lasts() -> None:
    """While it lasts nothing is measured; the rate of before says what a block would cost."""
    electricity = Electricity(watts=1000, price_per_kwh=0.3)
    bench = Bench(PoliciesConfig(max_cost_per_block=1e9), electricity)
    bench.forecasts = [DifficultyForecast(1e14, 1.0)]
    await bench.policies.refresh_forecast(0.0)
    assert [bench.look(rate_hps=40e6) for _ in range(4)] == [4, 0, 0, 0]
    cheap = Bench(PoliciesConfig(max_cost_per_block=1e9), Electricity(watts=1, price_per_kwh=1e-6))
    cheap.forecasts = [DifficultyForecast(1e14, 1.0)]
    await cheap.policies.refresh_forecast(0.0)
    assert [cheap.look(rate_hps=40e6) for _ in range(3)] == [4, 4, 4]


async def test_forecasts_come_from_the_first_node_that_answers() -> None:
    def node_client(port: int, network: Network = MAINNET) -> NodeClient:
        return NodeClient(
            NodeSettings("n", "127.0.0.1", port, UserPassword("u", "p"), network), lambda event: None, now
        )

    with FakeNode() as node:
        FakeChain(20 * 2016 + 1000, (0x170240C3,), spacing_secs=500).told_by(node)
        found = await forecast_from([node_client(1), node_client(node.port)])
        assert found is not None
        assert found.next_ratio == pytest.approx(1.2, rel=0.02)
        assert await forecast_from([node_client(node.port, REGTEST)]) is None
        FakeChain(0, (0x170240C3,)).told_by(node)
        assert await forecast_from([node_client(node.port)]) is None, "a chain of one block foretells nothing"
    with pytest.raises(NodeError):
        await forecast_from([node_client(1)])
    with pytest.raises(NodeError, match="no node is configured"):
        await forecast_from([])
    assert await forecast_from([DemoNode(MAINNET, lambda event: None, clock=now)]) is None


def test_the_configuration_says_what_the_policies_need() -> None:
    config = load_config(environ={})
    assert not config.policies.is_on
    assert electricity_of(config.electricity) == Electricity()
    config = load_config(overrides={"policies.hours": "22:00-06:00", "policies.intensity_outside": 0.1}, environ={})
    assert config.policies.hours == "22:00-06:00"
    priced = electricity_of(ElectricityConfig.model_validate({"price_url": "https://x.example/?key=secret"}))
    assert priced.source is not None
    assert "secret" not in repr(load_config(overrides={"electricity.price_url": "https://x/?secret"}, environ={}))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"policies.hours": "night"}, "22:00-06:00"),
        ({"policies.target_rate_hps": 1e6}, "requires intensity below 1"),
        ({"policies.max_price_per_kwh": 0.3}, "requires electricity.price_per_kwh or price_url"),
        ({"policies.max_cost_per_block": 5.0, "electricity.price_per_kwh": 0.3}, "requires electricity.watts"),
        ({"electricity.price_url": "file:///etc/passwd"}, "begin with http"),
        ({"electricity.price_url": "http://x", "electricity.price_per_kwh": 1.0}, "only one of"),
    ],
)
def test_settings_that_cannot_work_are_refused(overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(overrides=overrides, environ={})
