"""Runs the policies: reads the conditions periodically, decides, logs the reasons and informs the governor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from solominer.config.hours import is_within, parse_hours
from solominer.config.steering import ElectricityConfig, PoliciesConfig
from solominer.errors import NodeError
from solominer.governor.decisions import Conditions, Decision, decide
from solominer.governor.prices import Price, PriceSource
from solominer.insight.odds import cost_per_block
from solominer.work.instant import Clock, Instant
from solominer.work.ports import DifficultyForecast, Node
from solominer.work.workers import EngineSnapshot

log = logging.getLogger("solominer.governor.policies")

FORECAST_SECS = 3600.0
FORECAST_RETRY_SECS = 300.0


@dataclass(frozen=True, slots=True)
class Electricity:
    """The machine's power, and a fixed electricity price or a source of prices; None if unknown."""

    watts: float | None = None
    price_per_kwh: float | None = None
    source: PriceSource | None = None

    def price(self, at: float) -> Price | None:
        """The current price."""
        if self.source is not None:
            return self.source.current(at)
        return None if self.price_per_kwh is None else Price(self.price_per_kwh, at)


Report = Callable[[float, tuple[str, ...]], None]
"""Called with a decision: the share of workers to use (0: pause) and the reasons for less than usual."""


class Policies:
    """`snapshot` returns all engines' state, `note` writes a line to the ledger, `forecast` queries the nodes.

    With `dry_run` decisions are logged but not reported to the governor.
    """

    def __init__(
        self,
        settings: PoliciesConfig,
        electricity: Electricity,
        snapshot: Callable[[], Sequence[EngineSnapshot]],
        *,
        note: Callable[[float, str, Mapping[str, Any]], None],
        forecast: Callable[[], Awaitable[DifficultyForecast | None]],
        clock: Clock,
    ) -> None:
        self._settings, self._electricity, self._snapshot = settings, electricity, snapshot
        self._note, self._forecast, self._clock = note, forecast, clock
        self._dry_run = settings.dry_run
        self._hours = None if settings.hours is None else parse_hours(settings.hours)
        self._wants_forecast = settings.difficulty_factor is not None or settings.max_cost_per_block is not None
        self._foreseen: DifficultyForecast | None = None
        self._forecast_due = 0.0
        self._done = Decision(-1)
        self._known_rate = 0.0  # the last measured one, so that the cost stays known during a pause
        self._measured: tuple[float, float, int] | None = None  # monotonic seconds, hashes, active workers

    async def run(self, report: Report) -> None:
        """Decide every `look_secs` until cancelled."""
        if self._dry_run:
            log.warning("policies: dry run, decisions are logged only")
        async with asyncio.TaskGroup() as group:
            if self._electricity.source is not None:
                group.create_task(self._electricity.source.keep_fresh(), name="electricity price")
            while True:
                await self.refresh_forecast(self._clock().mono)
                self.evaluate(self._clock(), datetime.now().astimezone(), report)
                await asyncio.sleep(self._settings.look_secs)

    async def refresh_forecast(self, mono: float) -> None:
        """Get a new forecast if a policy needs it and the last one is an hour old."""
        if not self._wants_forecast or mono < self._forecast_due:
            return
        try:
            self._foreseen = await self._forecast()
        except NodeError as error:
            log.warning("no forecast for the policies: %s", error.what)
            self._foreseen = None
            self._forecast_due = mono + FORECAST_RETRY_SECS
            return
        self._forecast_due = mono + FORECAST_SECS

    def evaluate(self, at: Instant, local: datetime, report: Report) -> Decision:
        """Decide under the current conditions, and report the decision if it changed."""
        engines = self._snapshot()
        workers = sum(len(engine.workers) for engine in engines)
        decision = decide(self._settings, self._conditions(at, local, engines, workers))
        if (decision.active, decision.share) != (self._done.active, self._done.share):
            self._log(at, decision, workers)
        if decision != self._done and not self._dry_run:
            share = decision.active / workers if decision.share is None else decision.share
            report(share, decision.reasons)
        self._done = decision
        return decision

    def _conditions(self, at: Instant, local: datetime, engines: Sequence[EngineSnapshot], workers: int) -> Conditions:
        active = sum(engine.active for engine in engines)
        rate, foreseen = self._rate(at.mono, engines, active), self._foreseen
        if self._done.active < 0:  # at startup all workers hash, without a decision
            active = 0
        elif self._dry_run and active and self._done.active > 0:  # as if the decision had been applied
            rate = rate and rate * self._done.active / active
            active = self._done.active
        price = self._electricity.price(at.wall)
        if price is not None and price.stale:
            price = None  # it may be outdated; `_log` reports it
        cost, watts = None, self._electricity.watts
        self._known_rate = rate or self._known_rate
        if self._known_rate and watts is not None and foreseen is not None and price is not None:
            cost = cost_per_block(self._known_rate, foreseen.difficulty, watts, price.per_kwh)
        return Conditions(
            workers=workers,
            active=active,
            within_hours=None if self._hours is None else is_within(self._hours, local),
            difficulty_ratio=None if foreseen is None else foreseen.next_ratio,
            price_per_kwh=None if price is None else price.per_kwh,
            cost_per_block=cost,
            rate_hps=rate,
        )

    def _rate(self, mono: float, engines: Sequence[EngineSnapshot], active: int) -> float | None:
        """The rate since the last evaluation, if the number of active workers did not change."""
        hashes = sum(engine.hashes for engine in engines)
        before, self._measured = self._measured, (mono, hashes, active)
        hashing = sum(worker.state == "hashing" for engine in engines for worker in engine.workers)
        if before is None or before[2] != active or hashing < active or mono <= before[0]:
            return None
        return (hashes - before[1]) / (mono - before[0])

    def _log(self, at: Instant, decision: Decision, workers: int) -> None:
        price = self._electricity.price(at.wall)
        stale = " (the price is stale and was ignored)" if price is not None and price.stale else ""
        reason = "; ".join(decision.reasons) or "no limit applies"
        what = f"{decision.active} of {workers} workers" if decision.active else "pause"
        if decision.share is not None and 0 < decision.share * workers < decision.active:
            what += f" at an intensity of {decision.share:.0%}"
        log.info("policies%s: %s: %s%s", " (dry run)" if self._dry_run else "", what, reason, stale)
        fields: dict[str, Any] = {"active": decision.active, "of": workers}
        if price is not None:
            fields |= {"price_per_kwh": price.per_kwh, "price_is_stale": price.stale}
        self._note(at.wall, "policy", {**fields, "reasons": list(decision.reasons), "dry_run": self._dry_run})


def electricity_of(config: ElectricityConfig) -> Electricity:
    """Power and price from the configuration. Fetches nothing."""
    source = None
    if config.price_url is not None:
        source = PriceSource(
            config.price_url.get_secret_value(),
            config.price_json_path,
            scale=config.price_scale,
            refresh_secs=config.refresh_secs,
            stale_secs=config.stale_secs,
        )
    return Electricity(config.watts, config.price_per_kwh, source)


async def forecast_from(nodes: Iterable[Node]) -> DifficultyForecast | None:
    """The forecast from the first node that answers; None if it has none. Raises NodeError if no node answers."""
    problem = NodeError("no node is configured", "set bitcoin_rpc in config.json")
    for node in nodes:
        try:
            return await node.forecast_difficulty()
        except NodeError as error:
            problem = error
    raise problem
