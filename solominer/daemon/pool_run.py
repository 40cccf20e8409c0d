"""A run at pools instead of nodes: engines, records, pauses and views are the same; jobs and shares are a pool's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from solominer.config.models import Config
from solominer.daemon.deadline import LAST_ANSWERS_SECS
from solominer.daemon.every_run import EveryRun, RunOptions, reload_on_sighup, serve_users
from solominer.daemon.executor import log_alarm
from solominer.daemon.host_metrics import now
from solominer.daemon.parts import (
    apply_to_engines,
    extranonces_of,
    gpus_of,
    plan_monitor_of,
    policies_of,
    sharing_of,
    stratum_of,
)
from solominer.daemon.pool_status import pool_snapshot_of
from solominer.daemon.pool_work import PoolWork
from solominer.daemon.status import Sampler
from solominer.engines.engine_set import EngineSet
from solominer.engines.pool.pool import WorkerPool
from solominer.errors import PayoutError
from solominer.governor.governor import Governor
from solominer.records.recorder import Recorder
from solominer.records.report.formats import many
from solominer.upstream.connection import Patience
from solominer.upstream.miner import PoolMiner
from solominer.views.logs import RecentEvents
from solominer.views.snapshot import Snapshot
from solominer.views.text import duration, rate
from solominer.work.actions import Severity
from solominer.work.payout import Payout
from solominer.work.policy import Policy
from solominer.work.ports import Engine, ShareObserver

if TYPE_CHECKING:
    from solominer.engines.stratum.engine import StratumEngine

log = logging.getLogger("solominer.daemon.daemon")


@dataclass(frozen=True, slots=True)
class PoolParts:
    """The parts of a run at pools."""

    recorder: Recorder
    cpus: WorkerPool
    pools: tuple[WorkerPool, ...]
    stratum: StratumEngine | None
    engines: EngineSet
    observer: ShareObserver
    work: PoolWork


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
        self._patience = patience
        self.parts: PoolParts | None = None

    async def _run(self, stack: AsyncExitStack) -> int:
        parts = self.parts = await self._start(stack)
        await self._serve(parts)
        return 0

    async def _start(self, stack: AsyncExitStack) -> PoolParts:
        recorder, _, cpus = self._open_records(stack)
        log.warning("mining for a pool: found blocks are the pool's, and it pays by its own rules")
        gpus = gpus_of(self.config)
        pools = (cpus, gpus) if gpus else (cpus,)
        stratum = stratum_of(self.config, recorder, _no_address)
        beside = [*self._more_engines] if stratum is None else [stratum, *self._more_engines]
        engines = EngineSet([*pools, *beside], *extranonces_of(stratum, None))

        def alert(severity: Severity, code: str, message: str, todo: str) -> None:
            log_alarm(severity, code, message, todo)
            recorder.error(now().wall, severity, code, message, done=todo)

        observer = plan_monitor_of(cpus, recorder, alert)
        work = PoolWork(
            self.config.chain,
            self.config.pools,
            Policy(shares_per_hour=self.config.shares_per_hour),
            engines,
            recorder,
            observer,
            alert,
            sharing=sharing_of(self.config, self._more_engines),
            patience=self._patience,
        )
        await self._start_engines(engines, work.post, stack)
        return PoolParts(recorder, cpus, pools, stratum, engines, observer, work)

    async def _serve(self, parts: PoolParts) -> None:
        work = parts.work
        sampler = Sampler(work, parts.pools, parts.recorder, parts.observer, self._limit_hashes)
        snapshot = partial(self._snapshot, parts, sampler)
        with self._failures_logged():
            async with asyncio.TaskGroup() as group:
                governor = self._governor(parts, snapshot, group.create_task)
                urgent = partial(_urgent, work.miner, governor)
                users = serve_users(self.config, self.options, governor, sampler, snapshot, urgent)
                status = partial(_service_status, work.miner, sampler)
                beside = group.create_task(users)
                tasks = [
                    group.create_task(work.run(), name="events"),
                    group.create_task(work.pools.run(), name="pools"),
                    group.create_task(parts.engines.run(), name="engines"),
                    group.create_task(self._limit_blocks(lambda: work.miner.pool_blocks, work.changed), name="limits"),
                    group.create_task(self._notifier.keep_alive(work.changed, status), name="watchdog"),
                ]
                self._notifier.ready("started")
                await self._stop.wait()
                await self._shutdown(parts, governor, sampler, beside)
                for task in tasks:
                    task.cancel()
        log.info(
            "stopped after %s: %d hashes, %s, %s of pools",
            duration(time.time() - self._started_at), sampler.hashes, many(work.miner.shares, "share"),
            many(work.miner.pool_blocks, "block"),
        )  # fmt: skip

    async def _shutdown(
        self, parts: PoolParts, governor: Governor, sampler: Sampler, beside: asyncio.Task[None]
    ) -> None:
        """Let the workers finish their slice, and wait a moment for the pool's answers."""
        self._say_stopping(sampler, parts.pools, parts.work.miner.status)
        governor.stopping()
        parts.engines.stop_work()
        await self._end_users(parts.observer, beside)
        await parts.engines.stop(self.ENGINES_STOP_SECS)
        await parts.work.end(LAST_ANSWERS_SECS)

    # --- users ---------------------------------------------------------------------------------------------------

    def _snapshot(self, parts: PoolParts, sampler: Sampler) -> Snapshot:
        return pool_snapshot_of(
            at=time.time(),
            started_at=self._started_at,
            config=self.config,
            work=parts.work,
            engines=parts.engines.snapshot(),
            rate=sampler.rate.estimate(),
            recent=self._recent,
        )

    def _governor(
        self,
        parts: PoolParts,
        snapshot: Callable[[], Snapshot],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> Governor:
        governor = Governor(
            self.config,
            parts.work.miner,
            parts.work.post,
            parts.engines,
            snapshot,
            self._stop.set,
            now,
            policies=policies_of(self.config, parts.engines, parts.recorder, {}),
            apply=lambda config: apply_to_engines(config, parts.cpus, parts.stratum),
            reload=self.options.reload,
            note=parts.recorder.record,
        )
        reload_on_sighup(governor, self._notifier, spawn)
        return governor


async def _no_address(address: str) -> Payout:
    """Blocks pay whom the pool wants."""
    raise PayoutError(f"a block of a pool does not pay {address}")


def _urgent(miner: PoolMiner, governor: Governor) -> Hashable:
    """What those who watch the status hear of at once."""
    return miner.tip_le, miner.status, miner.pool_blocks, *governor.pauses


def _service_status(miner: PoolMiner, sampler: Sampler) -> str:
    """One line for the service manager."""
    return f"{miner.status}: {rate(sampler.rate.estimate().value)}, {many(miner.shares, 'share')}"
