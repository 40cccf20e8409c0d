"""The governor: the single owner of pauses, of the limit on found blocks, and of the engines' intensity.

Reasons to pause come from the user, the schedule, the throttle, the policies and the end of the run. They reach the
coordinator as events; engines get an intensity. The governor never decides about work.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol

import psutil

from solominer.chain.fields import Field
from solominer.config.models import MAX_CORES, Config, reloads_live
from solominer.errors import ConfigError, SolominerError
from solominer.governor.audit import MAX_BY, MAX_RESULT, Audit, Note
from solominer.governor.policies import Policies
from solominer.governor.schedule import RunProgress, ScheduleState, blocks_on, schedule_at, schedule_of
from solominer.governor.throttle import SensorReadings, Sensors, ThrottleRules
from solominer.views.snapshot import Snapshot, encode
from solominer.work.blocks import BlockTracker
from solominer.work.events import PauseWanted, PolicyChanged, ResumeWanted
from solominer.work.found import BlockState
from solominer.work.instant import Clock
from solominer.work.policy import Policy
from solominer.work.ports import Post

log = logging.getLogger("solominer.governor.governor")

SCHEDULE_SECS = 0.1
IDLE_SCHEDULE_SECS = 1.0
THROTTLE_SECS = 5.0
BY_HAND = "by hand"
STOPPING = "stopping"
_LATEST_AT = 250_000_000_000  # in the year 9892: dates end with 9999


class Source(Enum):
    """The sources of pauses; each has its own reasons and can withdraw only those."""

    HAND = auto()
    SCHEDULE = auto()
    THROTTLE = auto()
    POLICIES = auto()
    STOP = auto()


class Engines(Protocol):
    """What the governor needs of the EngineSet."""

    def set_intensity(self, share: float) -> None:
        """Use this share of every engine, 0 to 1."""


class Miner(Protocol):
    """What the governor needs of the Coordinator, or of a PoolMiner: its policy, and which blocks count."""

    @property
    def policy(self) -> Policy:
        """The policy at the start."""

    @property
    def demo_blocks(self) -> int:
        """Simulated blocks."""

    @property
    def blocks(self) -> BlockTracker:
        """Blocks of ours."""


async def _nothing_to_apply(config: Config) -> list[str]:
    return []


def _not_recorded(at: float, kind: str, fields: Mapping[str, Any]) -> None:
    """Where there is no ledger."""


class Governor:
    """Runs beside the coordinator. `apply` applies a new configuration to the engines and returns their problems as
    lines. `reload` reads the configuration again (None: there is no file). `note` writes lines of the ledger.
    """

    def __init__(
        self,
        config: Config,
        coordinator: Miner,
        post: Post,
        engines: Engines,
        snapshot: Callable[[], Snapshot],
        stop: Callable[[], None],
        clock: Clock,
        *,
        policies: Policies | None = None,
        apply: Callable[[Config], Awaitable[list[str]]] = _nothing_to_apply,
        reload: Callable[[], Config] | None = None,
        max_blocks: int | None = None,
        note: Note = _not_recorded,
    ) -> None:
        self.config = self._began_with = config
        self._audit = Audit(note, clock)
        self._coordinator, self._post, self._engines = coordinator, post, engines
        self._snapshot, self._stop, self._clock = snapshot, stop, clock
        self._policies, self._apply_to_engines, self._read_again = policies, apply, reload
        self._max_blocks = max_blocks
        self._policy = coordinator.policy
        self._intensity = 1.0
        self._holds: dict[Source, frozenset[str]] = {}
        self._started = clock()
        now = _local(self._started.wall)
        self._seed = zlib.crc32(str(config.tree_dir).encode())  # the same after a restart on the same day
        self._day = now.date()
        self._today = self._standing = self._standing_before_today = 0
        self._last_block_mono: float | None = None
        self._restored = self._blocks_of(now)
        self._sensors_failed = False
        self._sensors, self._throttle = Sensors(), ThrottleRules(config.throttle)
        self._schedule = schedule_of(config.schedule)
        self.apply_schedule()

    async def run(self) -> None:
        """Until cancelled: follow the schedule, the throttle and the policies."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_schedule(), name="schedule")
            group.create_task(self._follow_throttle(), name="throttle")
            if self._policies is not None:
                group.create_task(self._policies.run(self.take_policies), name="policies")

    @property
    def pauses(self) -> list[str]:
        """All current reasons to pause; empty while hashing is allowed."""
        return sorted(frozenset().union(*self._holds.values()))

    def snapshot(self) -> Snapshot:
        """The state of the run, with its pauses and intensity."""
        return replace(self._snapshot(), pauses=tuple(self.pauses), intensity=self._intensity)

    def stopping(self) -> None:
        """Pause permanently, because the run ends."""
        self._hold(Source.STOP, [STOPPING])

    # --- on request ----------------------------------------------------------------------------------------------

    def handlers(self) -> dict[str, Callable[[Field], dict[str, Any] | Awaitable[dict[str, Any]]]]:
        """The control socket's handlers, by command."""
        return {
            "status": lambda request: {"status": json.loads(encode(self.snapshot())), "pauses": self.pauses},
            "pause": lambda request: self._by_hand(request, BY_HAND),
            "resume": lambda request: self._by_hand(request),
            "reload": self._reload_on_request,
            "cores": self._reserve_cores,
            "record": self._record_call,
        }

    def _by_hand(self, request: Field, *reasons: str) -> dict[str, Any]:
        """`resume` withdraws only `pause`; the reply has the remaining reasons."""
        with self._audit.request(request) as done:
            self._hold(Source.HAND, reasons)
            done += [f"paused: {', '.join(self.pauses)}" if self.pauses else "not paused"]
        return {"pauses": self.pauses}

    async def _reload_on_request(self, request: Field) -> dict[str, Any]:
        with self._audit.request(request) as done:
            done += await self.reload()
        return {"changes": done}

    def _record_call(self, request: Field) -> dict[str, Any]:
        """Record what the web server did by itself at somebody's request."""
        with self._audit.recorded(request["what"].text(MAX_BY), request["by"].text(MAX_BY)) as done:
            done += [request["result"].text(MAX_RESULT)]
        return {}

    async def _reserve_cores(self, request: Field) -> dict[str, Any]:
        """Reserve this many cores until the next reload."""
        with self._audit.request(request) as done:
            old, reserved = self.config, request["reserved"].integer(0, MAX_CORES)
            if old.cpu_workers is not None:
                raise ConfigError(
                    f"cpu_workers is set to {old.cpu_workers}, so no cores are reserved",
                    "remove cpu_workers from the configuration and restart",
                )
            self.config = old.model_copy(update={"cpu_cores_reserved": reserved})
            done += [f"cpu_cores_reserved: {old.cpu_cores_reserved} -> {reserved}"]
            done += await self._apply_to_engines(self.config)
        log.info("%s", "; ".join(done))
        return {"changes": done}

    async def reload(self) -> list[str]:
        """Read the configuration again and apply what can change while running; returns a line for each change.

        Raises ConfigError if the new configuration is invalid; the old one stays in force.
        """
        if self._read_again is None:
            raise ConfigError("this run has no configuration file to reload", "restart it with other flags")
        new, old = self._read_again(), self.config
        began, now, wanted = (each.model_dump(mode="json") for each in (self._began_with, old, new))
        waiting = {key.partition(".")[0] for key, _, _ in _differences(began, wanted)}
        lines = [
            f"{key}: {before} -> {after}{_effect(key, waiting)}" for key, before, after in _differences(now, wanted)
        ]
        if old.bitcoin_rpc != new.bitcoin_rpc and not any(text.startswith("bitcoin_rpc") for text in lines):
            differs = {"bitcoin_rpc"} if new.bitcoin_rpc != self._began_with.bitcoin_rpc else set()
            lines.append(f"bitcoin_rpc.password: changed{_effect('bitcoin_rpc.password', differs)}")
        lines += await self._apply(new)
        for text in lines or ["no changes"]:
            log.info("reloaded: %s", text)
        return lines

    async def reload_by_signal(self) -> None:
        """As `reload`, for SIGHUP: problems are logged, and mining continues unchanged."""
        try:
            with self._audit.recorded("reload", "SIGHUP") as done:
                done += await self.reload()
        except SolominerError as error:
            log.error("reload failed, nothing was changed: %s", str(error).replace("\n  ", " "))

    async def _apply(self, new: Config) -> list[str]:
        self.config = new
        logging.getLogger("solominer").setLevel(new.log_level.upper())
        self._change_policy(
            refresh_secs=new.refresh_secs, stale_secs=new.stale_secs, shares_per_hour=new.shares_per_hour
        )
        self._throttle = ThrottleRules(new.throttle, paused=self._throttle.paused)
        self._schedule = schedule_of(new.schedule)
        self.apply_schedule()
        return await self._apply_to_engines(new)

    def _change_policy(self, **changes: Any) -> None:
        policy = replace(self._policy, **changes)
        if policy != self._policy:
            self._policy = policy
            self._post(PolicyChanged(self._clock(), policy))

    # --- the schedule --------------------------------------------------------------------------------------------

    def apply_schedule(self) -> None:
        """Evaluate the schedule now, and pause, resume or end the run accordingly."""
        at = self._clock()
        now = _local(at.wall)
        self._count_blocks(now, at.mono)
        last = self._last_block_mono
        progress = RunProgress(at - self._started, self._today, None if last is None else at.mono - last)
        state = schedule_at(self._schedule, now, progress, self._seed)
        if state.over:
            log.info("the schedule has ended")
            self._stop()
            return
        self._change_policy(max_blocks=self._allowed(now, state))
        self._hold(Source.SCHEDULE, [state.pause] if state.pause else [], state.until)

    def _allowed(self, now: datetime, state: ScheduleState) -> int | None:
        """The number of blocks at which the coordinator stops, which it does without delay."""
        bounds = [] if self._max_blocks is None else [self._max_blocks]
        limit = blocks_on(self._schedule, now, self._seed)
        if limit is not None:
            bounds.append(self._standing + max(0, limit - self._today))
        if self._schedule.block_interval_secs is not None:
            bounds.append(self._standing + (0 if state.pause else 1))
        return min(bounds, default=None)

    def _count_blocks(self, now: datetime, mono: float) -> None:
        standing = max(self._coordinator.demo_blocks, self._coordinator.blocks.standing)
        if now.date() != self._day:
            self._day, self._standing_before_today, self._restored = now.date(), standing, 0
        if standing > self._standing:
            self._last_block_mono = mono
        self._standing = standing
        self._today = self._restored + max(0, standing - self._standing_before_today)

    def _blocks_of(self, now: datetime) -> int:
        """Blocks of earlier runs that were found today and are neither stale nor rejected."""
        tracked = self._coordinator.blocks.open.values()
        lost = (BlockState.STALE, BlockState.REJECTED)
        return sum(_local(each.block.found_at).date() == now.date() and each.state not in lost for each in tracked)

    async def _follow_schedule(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SCHEDULE_SECS if self._schedule.is_always else SCHEDULE_SECS)
            if not self._schedule.is_always:
                self.apply_schedule()

    # --- throttle and policies -----------------------------------------------------------------------------------

    async def _follow_throttle(self) -> None:
        while True:
            if self._throttle.settings.is_on or self._throttle.paused:
                readings = await asyncio.to_thread(self._read_sensors)
                self._hold(Source.THROTTLE, self._throttle.update(time.monotonic(), readings))
            await asyncio.sleep(THROTTLE_SECS)

    def _read_sensors(self) -> SensorReadings:
        """Read the sensors; failing ones do not stop mining."""
        try:
            return self._sensors.read()
        except (psutil.Error, OSError, ValueError) as error:
            log.log(logging.DEBUG if self._sensors_failed else logging.WARNING, "sensors cannot be read: %s", error)
            self._sensors_failed = True
            return SensorReadings()

    def take_policies(self, share: float, reasons: Iterable[str]) -> None:
        """Apply the policies' decision: this share of the workers, or a pause for these reasons if it is 0."""
        if share > 0:
            self._intensity = share
            self._engines.set_intensity(share)
        self._hold(Source.POLICIES, () if share > 0 else reasons)

    # --- pauses --------------------------------------------------------------------------------------------------

    def _hold(self, source: Source, reasons: Iterable[str], until: datetime | None = None) -> None:
        """Replace the reasons of one source; those of other sources are unaffected."""
        before = set(self.pauses)
        self._holds[source] = frozenset(reasons)
        after, at = set(self.pauses), self._clock()
        for reason in sorted(after - before):
            log.info("paused: %s%s", reason, f", until {until:%A %H:%M:%S}" if until else "")
            self._post(PauseWanted(at, reason))
        for reason in sorted(before - after):
            log.info("no longer paused: %s", reason)
            self._post(ResumeWanted(at, reason))


def _effect(key: str, waiting: Container[str]) -> str:
    """When a change of this setting has an effect; groups in `waiting` differ from what the run began with."""
    if reloads_live(key):
        return ""
    return " (needs a restart)" if key.partition(".")[0] in waiting else " (as this run has it)"


def _differences(old: Any, new: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, before, after) of everything that differs; secrets are masked in both."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        old, new = dict(enumerate(old)), dict(enumerate(new))
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(key for key in new if key not in old)]:
            found += _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
        return found
    return [] if old == new else [(prefix, old, new)]


def _local(at: float) -> datetime:
    """Unix seconds as the machine's local time."""
    return datetime.fromtimestamp(min(at, _LATEST_AT)).astimezone()
