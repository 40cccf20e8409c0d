"""The daemon: one run of the miner, from the lock on the data folder to the exit code.

On SIGINT or SIGTERM the workers finish their slice, found blocks are submitted, the hour is closed, and the exit code
is 0; a second signal exits immediately. If a part fails, the daemon exits with 1.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from solominer.config.models import Config
from solominer.daemon.cluster_control import cluster_handlers
from solominer.daemon.deadline import LAST_ANSWERS_SECS, Deadline, exit_after
from solominer.daemon.every_run import EveryRun, RunOptions, reload_on_sighup, serve_users
from solominer.daemon.executor import Executor
from solominer.daemon.fallback import FIRST_POOL_JOB, Fallback
from solominer.daemon.host_metrics import now
from solominer.daemon.job_view import TemplateViews
from solominer.daemon.nats_process import embedded_server
from solominer.daemon.nodes import await_payout, nodes_of, payout_of
from solominer.daemon.parts import (
    Parts,
    apply_to_engines,
    cluster_of,
    extranonces_of,
    gpus_of,
    plan_monitor_of,
    policies_of,
    sharing_of,
    start_of,
    stratum_of,
)
from solominer.daemon.pool_work import PoolWork
from solominer.daemon.status import Sampler, snapshot_of
from solominer.engines.engine_set import EngineSet
from solominer.errors import SolominerError
from solominer.governor.governor import Governor
from solominer.records.report.formats import many
from solominer.views.logs import RecentEvents
from solominer.views.snapshot import Snapshot
from solominer.views.text import duration, rate
from solominer.work.actions import Severity
from solominer.work.coordinator import Coordinator
from solominer.work.events import Event, Tick
from solominer.work.found import BlockState
from solominer.work.ports import Engine, Node, Post, ShareObserver
from solominer.work.workers import EngineSnapshot

if TYPE_CHECKING:
    from solominer.engines.cluster.engine import ClusterEngine

log = logging.getLogger("solominer.daemon.daemon")

TICK_SECS = 0.25
SHUTDOWN_SECS = 20.0
"""For all steps of the shutdown together; each has a bound of its own, too."""
REPLACED_SECS = 30.0
"""A head that was replaced is gone by then, whatever it still waits for: it stands by when it is started again."""


def run(config: Config, options: RunOptions, recent: RecentEvents) -> int:
    """Mine until stopped; returns the exit code. Raises SolominerError if mining cannot start."""
    # A short switch interval: a new tip must not wait for a template that is being validated.
    sys.setswitchinterval(0.0005)
    if config.mode_rules.at_a_pool:
        from solominer.daemon.pool_run import PoolRun

        return asyncio.run(PoolRun(config, options, recent).run())
    return asyncio.run(Run(config, options, recent).run())


class Run(EveryRun):
    """A run at nodes: `start`, `serve`, `shutdown`. `nodes` creates the nodes."""

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        recent: RecentEvents,
        more_engines: Sequence[Engine] = (),
        nodes: Callable[[Config, Post, AsyncExitStack], Awaitable[dict[str, Node]]] = nodes_of,
    ) -> None:
        super().__init__(config, options, recent, more_engines)
        self._nodes = nodes
        self.executor: Executor | None = None
        self.fallback: Fallback | None = None
        self._early: list[Event] = []
        self._templates = TemplateViews()
        self._cluster: ClusterEngine | None = None
        self._overtaken = False

    async def _run(self, stack: AsyncExitStack) -> int:
        if self.config.cluster.standby and not await self._await_turn(stack):
            return 0
        parts = await self.start(stack)
        code = self._never_began() if parts is None else await self.serve(parts)
        if self._overtaken:
            raise SolominerError("another daemon has become the head of this cluster", "start this one again: it waits")
        return code

    async def _await_turn(self, stack: AsyncExitStack) -> bool:
        """Stand by until this daemon is the head of its cluster."""
        from solominer.daemon.standby import await_turn

        def nodes(stack: AsyncExitStack) -> Awaitable[dict[str, Node]]:
            return self._nodes(self.config, lambda event: None, stack)

        return await await_turn(self.config, nodes, self._stop, self._notifier, self._overtake, stack)

    def _overtake(self) -> None:
        """Another daemon has become the head."""
        log.critical("another daemon has become the head of this cluster: this one publishes no more, and ends")
        self._overtaken = True
        exit_after(REPLACED_SECS, 1)
        if self._cluster is not None:
            self._cluster.give_way()
        self._stop.set()

    async def start(self, stack: AsyncExitStack) -> Parts | None:
        """Open the records, start the engines, connect the nodes; `stack` closes them. None if stopped meanwhile."""
        recorder, replay, pool = self._open_records(stack)
        nodes: dict[str, Node] = {}
        stratum = stratum_of(self.config, recorder, lambda address: payout_of(address, nodes.values()))
        gpus, cluster = gpus_of(self.config), cluster_of(self.config, recorder, replay)
        self._cluster = cluster
        beside = [engine for engine in (gpus, stratum, cluster) if engine is not None]
        own_only = {engine.name for engine in (stratum, cluster) if engine is not None}
        engines = EngineSet([pool, *beside, *self._more_engines], *extranonces_of(stratum, cluster), own_only)
        if self.config.cluster.is_embedded:
            await embedded_server(self.config, stack)
        await self._start_engines(engines, self.post, stack)  # first, so that kernels load while the nodes start
        nodes |= await self._nodes(self.config, self.post, stack)
        known = await await_payout(
            self.config, nodes, self._stop, lambda text: self._notifier.starting(text, self.START_PATIENCE_SECS)
        )
        block_state = stratum.block_state if stratum else lambda block, state: None
        if known is None:
            return None
        return Parts(recorder, replay, pool, gpus, engines, stratum, cluster, nodes, *known, block_state)

    async def serve(self, parts: Parts) -> int:
        """Mine until stopped, then shut down; returns the exit code. Raises SolominerError if a part fails."""
        start = start_of(self.config, parts, self.options.blocks)
        coordinator = start.coordinator()
        parts.recorder.begin_events(time.time(), start)
        observer = plan_monitor_of(parts.pool, parts.recorder, self._alert)
        with self._failures_logged():
            async with asyncio.TaskGroup() as group:
                tasks: set[asyncio.Task[None]] = set()

                def spawn(work: Coroutine[Any, Any, None]) -> None:
                    task = group.create_task(work)
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)

                executor = Executor(
                    coordinator,
                    parts.engines,
                    parts.nodes,
                    parts.recorder,
                    spawn,
                    observer,
                    block_state=parts.block_state,
                )
                self.executor = executor
                executor.restore(parts.replay)
                for event in self._early:
                    executor.post(event)
                self.fallback = self._fallback_of(parts, executor, observer)
                sampler = Sampler(self, parts.pools, parts.recorder, observer, self._limit_hashes)
                snapshot = partial(self._snapshot, parts, executor, sampler)
                governor = self._governor(parts, executor, snapshot, spawn)
                spawn(self._mine(parts, executor, sampler))
                urgent = partial(_urgent, executor.coordinator, governor, self.fallback)
                more = cluster_handlers(parts)
                users = serve_users(self.config, self.options, governor, sampler, snapshot, urgent, more)
                beside = group.create_task(users)
                self._notifier.ready("started")
                await self._stop.wait()
                await self.shutdown(parts, executor, governor, sampler, observer, beside)
                for task in tuple(tasks):  # they remove themselves
                    task.cancel()
        for tracked in coordinator.blocks.untaken:
            then = ": it is submitted again at the next start" if tracked.on_disk else ""
            log.warning("block %d %s is in no node's chain yet%s", tracked.block.height, tracked.block.hash_hex, then)
        log.info(
            "stopped after %s: %d hashes, %s, %s accepted",
            duration(time.time() - self._started_at),
            sampler.hashes,
            many(coordinator.judge.shares, "share"),
            many(coordinator.blocks.accepted_count, "block"),
        )
        return self._exit_code(executor)

    async def shutdown(
        self,
        parts: Parts,
        executor: Executor,
        governor: Governor,
        sampler: Sampler,
        observer: ShareObserver,
        beside: asyncio.Task[None],
    ) -> None:
        """Let the workers finish their slice, submit found blocks, and close the nodes, within SHUTDOWN_SECS."""
        deadline = Deadline(SHUTDOWN_SECS)
        self._say_stopping(sampler, parts.pools, executor.coordinator.status)
        parts.engines.stop_work()
        governor.stopping()  # otherwise the next tip would start work again
        await executor.settle(deadline.left(LAST_ANSWERS_SECS))
        sampler.count()
        await self._end_users(observer, beside)
        await parts.engines.stop(deadline.left(self.ENGINES_STOP_SECS))
        await executor.settle(deadline.left(LAST_ANSWERS_SECS))  # for blocks of the workers' last slices
        if self.fallback is not None:
            await self.fallback.work.end(deadline.left(LAST_ANSWERS_SECS))
        for node in parts.nodes.values():
            await node.close()

    async def _mine(self, parts: Parts, executor: Executor, sampler: Sampler) -> None:
        """The tasks that mining requires; they run until the last submission is answered."""
        async with asyncio.TaskGroup() as group:
            group.create_task(executor.run(), name="coordinator")
            for node in parts.nodes.values():
                group.create_task(node.run(), name=f"node {node.name}")
            group.create_task(parts.engines.run(), name="engines")
            group.create_task(_ticks(executor), name="ticks")
            if self.fallback is not None:
                group.create_task(self.fallback.run(), name="fallback")
            found = partial(self._found_blocks, executor)
            group.create_task(self._limit_blocks(found, executor.changed), name="limits")
            status = partial(_service_status, executor, sampler, self.fallback)
            group.create_task(self._notifier.keep_alive(executor.changed, status), name="watchdog")

    def post(self, event: Event) -> None:
        """Queue an event for the coordinator, or the fallback; keeps events of parts that start before the executor."""
        if self.executor is None:
            self._early.append(event)
        elif self.fallback is None or not self.fallback.takes(event):
            self.executor.post(event)

    def count_hashes(self) -> tuple[EngineSnapshot, ...]:
        """Record the counters of all workers; returns them."""
        assert self.executor is not None
        return self.executor.count_hashes()

    def _alert(self, severity: Severity, code: str, message: str, todo: str) -> None:
        if self.executor is not None:
            self.executor.alarm(severity, code, message, todo)

    def _snapshot(self, parts: Parts, executor: Executor, sampler: Sampler) -> Snapshot:
        snapshot = snapshot_of(
            at=time.time(),
            started_at=self._started_at,
            config=self.config,
            coordinator=executor.coordinator,
            engines=parts.engines.snapshot(),
            rate=sampler.rate.estimate(),
            payout=parts.payout,
            miners=parts.stratum.payouts(self.config.chain) if parts.stratum else None,
            recent=self._recent,
            templates=self._templates,
        )
        return snapshot if self.fallback is None else self.fallback.shown(snapshot, self.config.chain)

    def _fallback_of(self, parts: Parts, executor: Executor, observer: ShareObserver) -> Fallback | None:
        """The fallback, if one is configured and the mode submits what it finds."""
        if not (self.config.fallback_pool and self.config.mode_rules.submits):
            return None
        work = PoolWork(
            self.config.chain,
            self.config.fallback_pool,
            executor.coordinator.policy,
            parts.engines,
            parts.recorder,
            observer,
            executor.alarm,
            sharing=sharing_of(self.config, self._more_engines),
            first_id=FIRST_POOL_JOB,
        )
        return Fallback(work, executor.coordinator, executor.alarm)

    def _governor(
        self,
        parts: Parts,
        executor: Executor,
        snapshot: Callable[[], Snapshot],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> Governor:
        governor = Governor(
            self.config,
            executor.coordinator,
            self.post,
            parts.engines,
            snapshot,
            self._stop.set,
            now,
            policies=policies_of(self.config, parts.engines, parts.recorder, parts.nodes),
            apply=lambda config: apply_to_engines(config, parts.pool, parts.stratum),
            reload=self.options.reload,
            max_blocks=self.options.blocks,
            note=parts.recorder.record,
        )
        reload_on_sighup(governor, self._notifier, spawn)
        return governor

    # --- limits, view, exit code ---------------------------------------------------------------------------------

    def _found_blocks(self, executor: Executor) -> int:
        """Those that `--blocks` counts."""
        coordinator = executor.coordinator
        return coordinator.demo_blocks if self.config.mode_rules.simulated else coordinator.blocks.accepted_count

    def _never_began(self) -> int:
        """The exit code if no node has answered; in a bounded mode nothing was validated then."""
        log.warning("stopped before a node answered: nothing was mined")
        return int(self.config.mode_rules.bounded)

    def _exit_code(self, executor: Executor) -> int:
        """In a bounded mode 1 if a block was rejected or `blocks` was not reached, otherwise 0."""
        if not self.config.mode_rules.bounded:
            return 0
        blocks = executor.coordinator.blocks
        rejected = any(tracked.state is BlockState.REJECTED for tracked in blocks.settled)
        missing = self.options.blocks is not None and blocks.accepted_count < self.options.blocks
        return 1 if rejected or missing else 0


def _urgent(coordinator: Coordinator, governor: Governor, fallback: Fallback | None) -> Hashable:
    """Values whose changes are sent at once to those who watch the status."""
    blocks = coordinator.blocks
    return *_doing(coordinator, fallback), len(blocks.open), len(blocks.settled), *governor.pauses


def _doing(coordinator: Coordinator, fallback: Fallback | None) -> tuple[bytes, str]:
    """The tip that is mined on, and what the run is doing."""
    if fallback is not None and fallback.is_on:
        return fallback.work.miner.tip_le, fallback.status
    return coordinator.tip_le, coordinator.status


def _service_status(executor: Executor, sampler: Sampler, fallback: Fallback | None) -> str:
    """One line for the service manager."""
    coordinator, speed = executor.coordinator, rate(sampler.rate.estimate().value)
    accepted = many(coordinator.blocks.accepted_count, "block")
    status = _doing(coordinator, fallback)[1]
    return f"{status} at height {coordinator.tip.height + 1}: {speed}, {accepted} accepted"


async def _ticks(executor: Executor) -> NoReturn:
    while True:
        await asyncio.sleep(TICK_SECS)
        executor.post(Tick(now()))
