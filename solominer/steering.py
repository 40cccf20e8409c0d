"""What people, the schedule and the machine want of the running daemon: pauses, a pace, a reload of the configuration.

All of it reaches the coordinator as events, or as another policy; nothing here decides about work.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from solominer.config import Config
from solominer.control import ControlServer, Handler
from solominer.dispatch import Dispatcher
from solominer.errors import ConfigError, SolominerError
from solominer.guest import REASONS, GuestRules, GuestSettings, Readings, Sensors
from solominer.hashing.pool import WorkerPool
from solominer.schedule import Progress, Schedule, Verdict, blocks_on, judge, parse_hours
from solominer.views.snapshot import Snapshot
from solominer.work.coordinator import Coordinator
from solominer.work.events import PauseWanted, ResumeWanted
from solominer.work.found import BlockState

log = logging.getLogger("solominer.steering")

BEAT_SECS = 0.1
IDLE_BEAT_SECS = 1.0
GUEST_SECS = 5.0
BY_HAND = "by hand"
_LATEST_AT = 250_000_000_000  # in the year 9892: dates end with 9999
GUEST_PAUSES = frozenset(REASONS)
LIVE = frozenset(
    ("log_level", "refresh_secs", "stale_secs", "shares_per_hour", "cpu_cores_reserved", "nice", "max_memory_gb")
)
"""Settings that a reload changes at once, with everything in `schedule` and `guest`; the others need a restart."""


class Steering:
    """Runs beside the coordinator. `reload` gives the configuration anew (None: there is nothing to read again)."""

    def __init__(
        self,
        config: Config,
        dispatcher: Dispatcher,
        pool: WorkerPool,
        look: Callable[[], Snapshot],
        stop: Callable[[], None],
        *,
        reload: Callable[[], Config] | None = None,
        max_blocks: int | None = None,
        cores: int = 1,
    ) -> None:
        self.config = config
        self._dispatcher, self._pool, self._look, self._stop = dispatcher, pool, look, stop
        self._read_again = reload
        self._max_blocks = max_blocks
        self._cores = cores
        self._seats = pool.settings.admitted_workers
        self._pauses: set[str] = set()
        self._started_mono, now = time.monotonic(), _local(time.time())
        self._seed = zlib.crc32(str(folder_of(config)).encode())  # the same after a restart on the same day
        self._day = now.date()
        self._today = self._standing_before_today = 0
        self._last_block_mono: float | None = None
        self._standing = 0
        self._restored = self._blocks_of(now)
        self._sensors_broken = False
        self._sensors, self._guest = Sensors(), GuestRules(guest_settings(config))
        self._schedule = schedule_of(config)
        self.apply_schedule()

    async def run(self) -> None:
        """Until cancelled: listen on the control socket, keep to the schedule, be a good guest."""
        server = ControlServer(folder_of(self.config), self.handlers())
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run(), name="control socket")
            group.create_task(self._keep_schedule(), name="schedule")
            group.create_task(self._be_a_guest(), name="guest")

    # --- on request ----------------------------------------------------------------------------------------------

    def handlers(self) -> dict[str, Handler]:
        """What the control socket answers."""
        return {
            "status": lambda request: {"status": _finite(asdict(self._look())), "pauses": sorted(self._pauses)},
            "pause": lambda request: self._by_hand(pause=True),
            "resume": lambda request: self._by_hand(pause=False),
            "reload": lambda request: {"changes": self.reload()},
        }

    def _by_hand(self, *, pause: bool) -> dict[str, Any]:
        """Other reasons for a pause stay: nobody cools a machine by asking it to go on."""
        self._want((self._pauses - {BY_HAND}) | ({BY_HAND} if pause else set()))
        return {"pauses": sorted(self._pauses)}

    def reload(self) -> list[str]:
        """Read the configuration again and apply what can change while running; gives what changed, a line each.

        Raises ConfigError, with the old configuration in force, where the new one cannot be used.
        """
        if self._read_again is None:
            raise ConfigError("this run has no configuration file to read again", "restart it with other flags")
        new, old = self._read_again(), self.config
        lines = []
        for key, before, after in _differences(old.model_dump(mode="json"), new.model_dump(mode="json")):
            live = key.partition(".")[0] in LIVE | {"schedule", "guest"}
            lines.append(f"{key}: {before} -> {after}" + ("" if live else " (needs a restart)"))
            if key == "cpu_cores_reserved" and self._cores - new.cpu_cores_reserved > self._seats:
                lines.append(f"more than the {self._seats} workers of the start need a restart")
        if old.bitcoin_rpc != new.bitcoin_rpc and not any(text.startswith("bitcoin_rpc") for text in lines):
            lines.append("bitcoin_rpc.password: changed (needs a restart)")
        self._apply(new)
        for text in lines:
            log.info("reloaded: %s", text)
        if not lines:
            log.info("reloaded: nothing has changed")
        return lines

    def reload_by_signal(self) -> None:
        """As `reload`, for SIGHUP: whatever is wrong with the file is logged, and mining goes on as before."""
        try:
            self.reload()
        except SolominerError as error:
            log.error("not reloaded: %s", str(error).replace("\n", " "))

    def _apply(self, new: Config) -> None:
        old, coordinator = self.config, self._coordinator
        self.config = new
        logging.getLogger("solominer").setLevel(new.log_level.upper())
        coordinator.policy = replace(
            coordinator.policy,
            refresh_secs=new.refresh_secs,
            stale_secs=new.stale_secs,
            shares_per_hour=new.shares_per_hour,
        )
        limit = None if new.max_memory_gb is None else int(new.max_memory_gb * 2**30)
        self._pool.settings = replace(self._pool.settings, max_memory_bytes=limit, nice=new.nice)
        if new.cpu_cores_reserved != old.cpu_cores_reserved:
            self._pool.set_active(max(1, self._cores - new.cpu_cores_reserved))
        if new.nice != old.nice:
            self._renice(new.nice)
        self._guest = GuestRules(guest_settings(new), paused=self._guest.paused)
        self._schedule = schedule_of(new)
        self.apply_schedule()

    def _renice(self, nice: int) -> None:
        for worker in self._pool.snapshot().workers:
            try:
                if worker.pid is not None:
                    psutil.Process(worker.pid).nice(nice)
            except psutil.AccessDenied:
                log.warning("this user may not lower nice to %d for running workers; restart to have it", nice)
                return
            except psutil.NoSuchProcess:
                continue

    # --- the schedule --------------------------------------------------------------------------------------------

    def apply_schedule(self) -> None:
        """Look at the clock and at our blocks, and pause, allow or end accordingly."""
        now = _local(time.time())
        self._count_blocks(now)
        mono, last = time.monotonic(), self._last_block_mono
        progress = Progress(mono - self._started_mono, self._today, None if last is None else mono - last)
        verdict = judge(self._schedule, now, progress, self._seed)
        if verdict.over:
            log.info("the last day of the schedule is over")
            self._stop()
            return
        coordinator = self._coordinator
        allowed = self._allowed(now, verdict)
        if coordinator.policy.max_blocks != allowed:
            coordinator.policy = replace(coordinator.policy, max_blocks=allowed)
        self._want(
            (self._pauses & (GUEST_PAUSES | {BY_HAND})) | ({verdict.pause} if verdict.pause else set()), verdict.until
        )

    def _allowed(self, now: datetime, verdict: Verdict) -> int | None:
        """How many blocks this run may have found: the coordinator itself stops at that number, not a beat later."""
        bounds = [] if self._max_blocks is None else [self._max_blocks]
        limit = blocks_on(self._schedule, now, self._seed)
        if limit is not None:
            bounds.append(self._standing + max(0, limit - self._today))
        if self._schedule.block_interval_secs is not None:
            bounds.append(self._standing + (0 if verdict.pause else 1))
        return min(bounds, default=None)

    def _count_blocks(self, now: datetime) -> None:
        blocks = self._coordinator.blocks
        standing = max(self._coordinator.demo_blocks, blocks.standing)
        if now.date() != self._day:
            self._day, self._standing_before_today, self._restored = now.date(), standing, 0
        if standing > self._standing:
            self._last_block_mono = time.monotonic()
        self._standing = standing
        self._today = self._restored + max(0, standing - self._standing_before_today)

    def _blocks_of(self, now: datetime) -> int:
        """Blocks of earlier runs that were found today and still stand."""
        tracked = self._coordinator.blocks.open.values()
        lost = (BlockState.STALE, BlockState.REJECTED)
        return sum(_local(each.block.found_at).date() == now.date() and each.state not in lost for each in tracked)

    async def _keep_schedule(self) -> None:
        while True:
            await asyncio.sleep(IDLE_BEAT_SECS if self._schedule.is_always else BEAT_SECS)
            if not self._schedule.is_always:
                self.apply_schedule()

    # --- a good guest --------------------------------------------------------------------------------------------

    async def _be_a_guest(self) -> None:
        while True:
            if self._guest.settings.is_on or self._guest.paused:
                reasons = self._guest.judge(time.monotonic(), await asyncio.to_thread(self._read_sensors))
                self._want((self._pauses - GUEST_PAUSES) | reasons)
            await asyncio.sleep(GUEST_SECS)

    def _read_sensors(self) -> Readings:
        """What a system's sensors answer when they break is no reason to stop mining."""
        try:
            return self._sensors.read()
        except (psutil.Error, OSError, ValueError) as error:
            log.log(logging.DEBUG if self._sensors_broken else logging.WARNING, "sensors cannot be read: %s", error)
            self._sensors_broken = True
            return Readings()

    # --- pauses --------------------------------------------------------------------------------------------------

    def _want(self, pauses: set[str] | frozenset[str], until: datetime | None = None) -> None:
        """Have exactly these reasons for a pause in force."""
        at = time.time()
        for reason in sorted(pauses - self._pauses):
            log.info("paused: %s%s", reason, f", until {until:%A %H:%M:%S}" if until else "")
            self._dispatcher.post(PauseWanted(at, reason))
        for reason in sorted(self._pauses - pauses):
            log.info("no longer paused: %s", reason)
            self._dispatcher.post(ResumeWanted(at, reason))
        self._pauses = set(pauses)

    @property
    def _coordinator(self) -> Coordinator:
        return self._dispatcher.coordinator


def guest_settings(config: Config) -> GuestSettings:
    """The guest's rules in a configuration."""
    return GuestSettings(**config.guest.model_dump())


def schedule_of(config: Config) -> Schedule:
    """The schedule in a configuration."""
    told = config.schedule
    return Schedule(
        days=None if told.days == "forever" else told.days,
        days_week=told.days_week,
        hours=parse_hours(told.hours) if told.hours else (),
        blocks_per_day=None if told.blocks_per_day == "all" else told.blocks_per_day,
        block_interval_secs=told.block_interval_secs,
    )


def _differences(old: Any, new: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """(key with points, before, after) of everything that differs; secrets are masked in both."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(key for key in new if key not in old)]:
            found += _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
        return found
    return [] if old == new else [(prefix, old, new)]


def _finite(value: Any) -> Any:
    """JSON knows no infinity: an interval without an end becomes null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _local(at: float) -> datetime:
    """Unix seconds as the machine's local time."""
    return datetime.fromtimestamp(min(at, _LATEST_AT)).astimezone()


def folder_of(config: Config) -> Path:
    """The folder of this configuration's records, where the control socket is."""
    return config.records_dir / config.tree_name
