"""A run at pools instead of nodes: engines, records, pauses and views are the same; jobs and shares are a pool's."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

from solominer.chain.target import DIFFICULTY_1_TARGET, expected_hashes
from solominer.config.models import Config
from solominer.daemon.event_queue import EventQueue
from solominer.daemon.every_run import EveryRun, RunOptions, reload_on_sighup, serve_users
from solominer.daemon.executor import log_alarm
from solominer.daemon.host_metrics import now
from solominer.daemon.parts import (
    extranonces_of,
    gpus_of,
    plan_monitor_of,
    policies_of,
    pool_limits,
)
from solominer.daemon.pool_status import pool_snapshot_of
from solominer.daemon.status import Sampler
from solominer.engines.engine_set import EngineSet
from solominer.engines.pool.pool import WorkerPool
from solominer.governor.governor import Governor
from solominer.records.recorder import Recorder
from solominer.records.report.formats import many
from solominer.upstream.connection import Patience
from solominer.upstream.miner import PoolMiner
from solominer.upstream.pools import Pools
from solominer.views.logs import RecentEvents
from solominer.views.snapshot import Snapshot
from solominer.views.text import duration, rate
from solominer.work.actions import Action, Alarm, PublishJob, Record, Severity, ShareSeen, StopWork
from solominer.work.events import Event, HashRate
from solominer.work.job import Job
from solominer.work.policy import Policy
from solominer.work.ports import Engine, ShareObserver
from solominer.work.workers import EngineSnapshot, WorkerId

log = logging.getLogger("solominer.daemon.daemon")

LAST_ANSWERS_SECS = 2.0


@dataclass(frozen=True, slots=True)
class _Parts:
    recorder: Recorder
    cpus: WorkerPool
    pools: tuple[WorkerPool, ...]
    engines: EngineSet
    observer: ShareObserver


class PoolRun(EveryRun):
    """One run: see the module. `patience`: how long pools are waited for."""

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        recent: RecentEvents,
        more_engines: Sequence[Engine] = (),
        patience: Patience | None = None,
    ) -> None:
        super().__init__(config, options, recent, more_engines)
        self._changed = asyncio.Event()
        self._queue = EventQueue()
        self._dropped_recorded = 0
        self._share_target = 0
        self._parent_le = b""
        self._parts: _Parts | None = None
        self.miner = PoolMiner(
            config.chain,
            Policy(shares_per_hour=config.shares_per_hour),
            int.from_bytes(os.urandom(4)),
            self._do,
            lambda pool, sent: self.pools.submit(pool, sent),
            now,
            engines=(config.cpu_workers != 0) + config.gpu.is_on + len(more_engines),
        )
        self.pools = Pools(config.pools, self.miner, patience)

    async def _run(self, stack: AsyncExitStack) -> int:
        parts = self._parts = await self._start(stack)
        await self._serve(parts)
        return 0

    async def _start(self, stack: AsyncExitStack) -> _Parts:
        recorder, _, cpus = self._open_records(stack)
        log.warning("mining for a pool: found blocks are the pool's, and it pays by its own rules")
        gpus = gpus_of(self.config)
        pools = (cpus, gpus) if gpus else (cpus,)
        engines = EngineSet([*pools, *self._more_engines], *extranonces_of(None, None))
        await self._start_engines(engines, self.post, stack)
        return _Parts(recorder, cpus, pools, engines, plan_monitor_of(cpus, recorder, self._alarm))

    async def _serve(self, parts: _Parts) -> None:
        sampler = Sampler(self, parts.pools, parts.recorder, parts.observer, self._limit_hashes)
        snapshot = partial(self._snapshot, parts, sampler)
        with self._failures_logged():
            async with asyncio.TaskGroup() as group:
                governor = self._governor(parts, snapshot, group.create_task)
                urgent = partial(_urgent, self.miner, governor)
                users = serve_users(self.config, self.options, governor, sampler, snapshot, urgent)
                status = partial(_service_status, self.miner, sampler)
                beside = group.create_task(users)
                tasks = [
                    group.create_task(self._handle_events(), name="events"),
                    group.create_task(self.pools.run(), name="pools"),
                    group.create_task(parts.engines.run(), name="engines"),
                    group.create_task(self._notifier.keep_alive(self._changed, status), name="watchdog"),
                ]
                self._notifier.ready("started")
                await self._stop.wait()
                await self._shutdown(parts, governor, sampler, beside)
                for task in tasks:
                    task.cancel()
        log.info(
            "stopped after %s: %d hashes, %s, %s of pools",
            duration(time.time() - self._started_at), sampler.hashes, many(self.miner.shares, "share"),
            many(self.miner.pool_blocks, "block"),
        )  # fmt: skip

    async def _shutdown(self, parts: _Parts, governor: Governor, sampler: Sampler, beside: asyncio.Task[None]) -> None:
        """Let the workers finish their slice, and wait a moment for the pool's answers."""
        self._say_stopping(sampler, parts.pools, lambda: self.miner.status)
        governor.stopping()
        parts.engines.stop_work()
        parts.observer.look(time.time(), time.monotonic())
        parts.observer.close(time.time(), time.monotonic())
        beside.cancel()
        await asyncio.wait([beside])
        await parts.engines.stop(self.ENGINES_STOP_SECS)
        deadline = time.monotonic() + LAST_ANSWERS_SECS
        while (len(self._queue) or self.pools.waiting) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    # --- events and actions --------------------------------------------------------------------------------------

    def post(self, event: Event) -> None:
        """Queue an event of the engines or the governor. A hash rate becomes the difficulty that suits it."""
        if not isinstance(event, HashRate):
            self._queue.put(event)
        elif event.hps:
            hashes_per_share = event.hps * 3600.0 / self.miner.policy.shares_per_hour
            self.pools.suggest(hashes_per_share / expected_hashes(DIFFICULTY_1_TARGET), event.hps)

    async def _handle_events(self) -> NoReturn:
        while True:
            self.miner.handle(await self._queue.get())
            self._changed.set()
            if self.options.blocks is not None and self.miner.pool_blocks >= self.options.blocks:
                self._stop.set()

    def _do(self, actions: list[Action]) -> None:
        parts = self._parts
        assert parts is not None
        for action in actions:
            match action:
                case PublishJob(job):
                    self._publish(parts, job)
                case StopWork(reason):
                    parts.engines.stop_work()
                    log.debug("work stopped: %s", reason)
                case ShareSeen():
                    parts.recorder.share(action, parts.observer.share(action))
                case Record(kind, fields):
                    if kind == "share_duplicate":
                        parts.observer.repeated(WorkerId.parse(fields["worker"]))
                    if kind == "pool_block":
                        log.info("BLOCK FOUND for %(pool)s at height %(height)d: %(hash)s, worker %(worker)s", fields)
                    parts.recorder.record(now().wall, kind, fields)
                case Alarm(severity, code, message, todo):
                    self._alarm(severity, code, message, todo)
                case _:
                    raise TypeError(f"no action of a run at pools: {type(action).__name__}")

    def _publish(self, parts: _Parts, job: Job) -> None:
        parts.engines.publish(job, clean=job.template.prevhash_le != self._parent_le)
        self._parent_le = job.template.prevhash_le
        if job.share_target != self._share_target:
            self._share_target = job.share_target
            self.count_hashes()
        parts.observer.published(job)
        parts.recorder.job(now().wall, job)
        log.info("mining %s", job.describe())
        self._changed.set()

    def count_hashes(self) -> tuple[EngineSnapshot, ...]:
        """Record the counters of all workers and the number of dropped shares; returns the counters."""
        parts = self._parts
        assert parts is not None
        dropped = self._queue.dropped - self._dropped_recorded
        if dropped:
            self._dropped_recorded += dropped
            parts.recorder.record(now().wall, "shares_dropped", {"shares": dropped})
        seen = parts.engines.snapshot()
        for engine in seen:
            parts.recorder.counters(now().wall, engine)
        return seen

    def _alarm(self, severity: Severity, code: str, message: str, todo: str) -> None:
        log_alarm(severity, code, message, todo)
        if self._parts is not None:
            self._parts.recorder.error(now().wall, severity, code, message, done=todo)

    # --- users ---------------------------------------------------------------------------------------------------

    def _snapshot(self, parts: _Parts, sampler: Sampler) -> Snapshot:
        return pool_snapshot_of(
            at=time.time(),
            started_at=self._started_at,
            config=self.config,
            miner=self.miner,
            pools=self.pools,
            engines=parts.engines.snapshot(),
            rate=sampler.rate.estimate(),
            recent=self._recent,
        )

    def _governor(
        self,
        parts: _Parts,
        snapshot: Callable[[], Snapshot],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> Governor:
        async def apply(config: Config) -> list[str]:
            return parts.cpus.apply(replace(parts.cpus.settings, **pool_limits(config)))

        governor = Governor(
            self.config,
            self.miner,
            self.post,
            parts.engines,
            snapshot,
            self._stop.set,
            now,
            policies=policies_of(self.config, parts.engines, parts.recorder, {}),
            apply=apply,
            reload=self.options.reload,
            note=parts.recorder.record,
        )
        reload_on_sighup(governor, self._notifier, spawn)
        return governor


def _urgent(miner: PoolMiner, governor: Governor) -> Hashable:
    """What those who watch the status hear of at once."""
    return miner.tip_le, miner.status, miner.pool_blocks, *governor.pauses


def _service_status(miner: PoolMiner, sampler: Sampler) -> str:
    """One line for the service manager."""
    return f"{miner.status}: {rate(sampler.rate.estimate().value)}, {miner.shares} shares"
