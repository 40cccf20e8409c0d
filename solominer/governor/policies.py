"""Carries out the policies: looks at the conditions every so often, decides, tells why, and turns workers on or off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from solominer.config import ElectricityConfig, PoliciesConfig
from solominer.config.hours import is_within, parse_hours
from solominer.engines.cpu.job_slot import WorkerState
from solominer.engines.cpu.pool import PoolSnapshot
from solominer.errors import NodeError
from solominer.governor.decisions import Conditions, Decision, PolicySettings, decide
from solominer.governor.prices import Price, PriceSource
from solominer.insight.forecast import forecast_retarget
from solominer.insight.odds import cost_per_block
from solominer.node.client import NodeSettings
from solominer.node.history import read_history
from solominer.work.events import Event, PauseWanted, ResumeWanted
from solominer.work.instant import Clock, Instant

log = logging.getLogger("solominer.governor.policies")

FORECAST_SECS = 3600.0
FORECAST_RETRY_SECS = 300.0


@dataclass(frozen=True, slots=True)
class Electricity:
    """What hashing costs: power of the whole machine, and a fixed price or a source of one; None for unknown."""

    watts: float | None = None
    price_per_kwh: float | None = None
    source: PriceSource | None = None

    def price(self, at: float) -> Price | None:
        """The price that holds now."""
        if self.source is not None:
            return self.source.current(at)
        return None if self.price_per_kwh is None else Price(self.price_per_kwh, at)


class Workers(Protocol):
    """What is asked of the pool."""

    def set_active(self, count: int) -> None:
        """Let so many hash."""

    def pool_snapshot(self) -> PoolSnapshot:
        """What they are doing."""


class Policies:
    """`post` takes events for the coordinator, `note` lines for the ledger. `forecast` gives (next difficulty over
    today's, today's difficulty) from the node. With `dry_run` everything is decided and told, and nothing done.
    """

    def __init__(
        self,
        settings: PolicySettings,
        electricity: Electricity,
        pool: Workers,
        *,
        post: Callable[[Event], None],
        note: Callable[[float, str, Mapping[str, Any]], None],
        forecast: Callable[[], Awaitable[tuple[float, float] | None]],
        clock: Clock,
        dry_run: bool = False,
        look_secs: float = 60.0,
    ) -> None:
        self._settings, self._electricity, self._pool = settings, electricity, pool
        self._post, self._note, self._forecast = post, note, forecast
        self._dry_run, self._look_secs, self._clock = dry_run, look_secs, clock
        self._hours = None if settings.hours is None else parse_hours(settings.hours)
        self._wants_forecast = settings.difficulty_factor is not None or settings.max_cost_per_block is not None
        self._ratio: float | None = None
        self._difficulty: float | None = None
        self._forecast_due = 0.0
        self._done = Decision(-1)
        self._paused_for = ""
        self._known_rate = 0.0  # of when it was last measured: a pause for its cost does not make the cost unknown
        self._measured: tuple[float, int, int] | None = None  # monotonic seconds, hashes, active workers

    async def run(self) -> None:
        """Look and act for good."""
        if self._dry_run:
            log.warning("policies: dry run, they only say what they would do")
        async with asyncio.TaskGroup() as group:
            if self._electricity.source is not None:
                group.create_task(self._electricity.source.keep_fresh(), name="electricity price")
            while True:
                await self.refresh_forecast(self._clock().mono)
                self.look(self._clock(), datetime.now().astimezone())
                await asyncio.sleep(self._look_secs)

    async def refresh_forecast(self, mono: float) -> None:
        """Ask for the forecast where a policy needs it and the last one is an hour old."""
        if not self._wants_forecast or mono < self._forecast_due:
            return
        try:
            found = await self._forecast()
        except NodeError as error:
            log.warning("no forecast for the policies: %s", error.what)
            self._ratio = self._difficulty = None
            self._forecast_due = mono + FORECAST_RETRY_SECS
            return
        self._ratio, self._difficulty = found or (None, None)
        self._forecast_due = mono + FORECAST_SECS

    def look(self, at: Instant, local: datetime) -> Decision:
        """Decide on the conditions of this moment, and act on a decision that is new."""
        snapshot = self._pool.pool_snapshot()
        decision = decide(self._settings, self._conditions(at, local, snapshot))
        if decision.active != self._done.active:
            self._tell(at, decision, snapshot)
            if not self._dry_run:
                self._act(at, decision)
        self._done = decision
        return decision

    def _conditions(self, at: Instant, local: datetime, snapshot: PoolSnapshot) -> Conditions:
        rate, active = self._rate(at.mono, snapshot), snapshot.active
        if self._done.active < 0:  # at the start all workers hash, which nobody has decided
            active = 0
        elif self._dry_run and active and self._done.active > 0:  # as if what was said had been done
            rate = rate and rate * self._done.active / active
            active = self._done.active
        price = self._electricity.price(at.wall)
        if price is not None and price.stale:
            price = None  # nothing is decided by a price that may not hold any more; `_tell` says so
        cost, watts, difficulty = None, self._electricity.watts, self._difficulty
        self._known_rate = rate or self._known_rate
        if self._known_rate and watts is not None and difficulty is not None and price is not None:
            cost = cost_per_block(self._known_rate, difficulty, watts, price.per_kwh)
        return Conditions(
            workers=len(snapshot.workers),
            active=active,
            within_hours=None if self._hours is None else is_within(self._hours, local),
            difficulty_ratio=self._ratio,
            price_per_kwh=None if price is None else price.per_kwh,
            cost_per_block=cost,
            rate_hps=rate,
        )

    def _rate(self, mono: float, snapshot: PoolSnapshot) -> float | None:
        """The rate since the last look, if as many workers hashed all the time."""
        before, self._measured = self._measured, (mono, snapshot.hashes, snapshot.active)
        hashing = all(worker.state is WorkerState.HASHING for worker in snapshot.workers[: snapshot.active])
        if before is None or before[2] != snapshot.active or not hashing or mono <= before[0]:
            return None
        return (snapshot.hashes - before[1]) / (mono - before[0])

    def _tell(self, at: Instant, decision: Decision, snapshot: PoolSnapshot) -> None:
        price = self._electricity.price(at.wall)
        stale = " (the price is stale and not counted)" if price is not None and price.stale else ""
        reason = "; ".join(decision.reasons) or "nothing is out of the ordinary"
        what = f"{decision.active} of {len(snapshot.workers)} workers" if decision.active else "a pause"
        log.info("policies%s: %s, because %s%s", " (dry run)" if self._dry_run else "", what, reason, stale)
        fields: dict[str, Any] = {"active": decision.active, "of": len(snapshot.workers)}
        if price is not None:
            fields |= {"price_per_kwh": price.per_kwh, "price_is_stale": price.stale}
        self._note(at.wall, "policy", {**fields, "reasons": list(decision.reasons), "dry_run": self._dry_run})

    def _act(self, at: Instant, decision: Decision) -> None:
        if decision.active == 0:
            self._paused_for = "; ".join(decision.reasons)
            self._post(PauseWanted(at, self._paused_for))
            return
        self._pool.set_active(decision.active)
        if self._paused_for:
            self._post(ResumeWanted(at, self._paused_for))
            self._paused_for = ""


def settings_of(config: PoliciesConfig) -> PolicySettings:
    """The policies' settings, as the configuration has them."""
    return PolicySettings(**config.model_dump(exclude={"dry_run", "look_secs"}))


def electricity_of(config: ElectricityConfig) -> Electricity:
    """Power and price, as the configuration has them. Nothing is fetched here."""
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


async def forecast_from(nodes: Sequence[NodeSettings]) -> tuple[float, float] | None:
    """(next difficulty over today's, today's difficulty) from the first node that answers; None where there is none.

    Raises NodeError where no node answers.
    """

    def read(settings: NodeSettings) -> tuple[float, float] | None:
        with settings.connect() as client:
            history = read_history(client, settings.network, recent_secs=0)
        if history.progress is None:
            return None
        try:
            following = forecast_retarget(history.epochs, history.progress)
        except ValueError:  # too young a chain
            return None
        return following.difficulty.value / history.difficulty, history.difficulty

    problem = NodeError("no node is configured", "set bitcoin_rpc in config.json")
    for settings in nodes:
        try:
            return await asyncio.to_thread(read, settings)
        except NodeError as error:
            problem = error
    raise problem
