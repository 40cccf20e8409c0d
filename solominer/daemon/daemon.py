"""The daemon: the one place that wires the parts together and owns their lifetime.

Everything runs in one asyncio task group. SIGINT or SIGTERM lets the workers finish their slice, sends what was found,
closes the hour and ends with 0; a second signal ends at once. A part that ends by itself ends the daemon with 1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from solominer.config import Config, default_cache_dir
from solominer.config.modes import MODES
from solominer.daemon.control_socket import ControlServer
from solominer.daemon.executor import LEVELS, Dispatcher
from solominer.daemon.host_metrics import age_secs, machine, now
from solominer.daemon.nodes import await_payout, links_of
from solominer.daemon.sd_notify import Notifier
from solominer.daemon.status import RateWindow, overview, why_no_hash
from solominer.engines.cpu.cores import usable_cores
from solominer.engines.cpu.plan_loader import check_for_workers, kernel_for, load_plan
from solominer.engines.cpu.plan_monitor import SearchWatch
from solominer.engines.cpu.pool import PoolSettings, PoolSnapshot, WorkerPool
from solominer.engines.engine_set import EngineSet
from solominer.errors import SolominerError
from solominer.governor.governor import Governor, folder_of
from solominer.governor.policies import Policies, electricity_of, forecast_from
from solominer.plan.plan import SearchPlan
from solominer.records.journal.recovery import Replay
from solominer.records.recorder import Recorder
from solominer.records.settings import RecorderSettings
from solominer.views.console import ConsoleView, has_controlling_terminal
from solominer.views.logs import RecentEvents, logged_to
from solominer.views.snapshot import Snapshot
from solominer.views.text import coins, duration, rate
from solominer.work.blocks import RetryPolicy
from solominer.work.coordinator import Coordinator, Policy
from solominer.work.events import Event, HashRate, Severity, Tick
from solominer.work.found import BlockState
from solominer.work.job import Payout
from solominer.work.ports import Engine, Node, Post
from solominer.work.workers import ExtranonceDealer

log = logging.getLogger("solominer.daemon.daemon")

TICK_SECS = 0.25
SAMPLE_SECS = 1.0
SYSTEM_BEATS = 15
STATUS_LINE_SECS = 60.0
DRAW_SECS = 0.5
LAST_ANSWERS_SECS = 10.0
ENGINES_STOP_SECS = 5.0
START_PATIENCE_SECS = 300.0
EXIT_SECOND_SIGNAL = 130
_USERS_OF_THE_POOL = frozenset({"samples", "governor", "view", "control socket"})


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What only this run wants: an end after `blocks` blocks, `secs` seconds or `hashes` hashes; the live view or not.

    `reload` reads the configuration anew, with this run's flags over it.
    """

    blocks: int | None = None
    secs: float | None = None
    live_view: bool = False
    hashes: int | None = None
    reload: Callable[[], Config] | None = None


def run(config: Config, options: RunOptions, recent: RecentEvents) -> int:
    """Mine until told to stop; gives the exit code. Raises SolominerError where mining cannot begin."""
    # Short turns at the interpreter: a new tip must not wait behind a template that is being checked.
    sys.setswitchinterval(0.0005)
    return asyncio.run(Daemon(config, options, recent).run())


class Daemon:
    """One run of the miner."""

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        recent: RecentEvents,
        more_engines: Sequence[Engine] = (),
        nodes: Callable[[Config, Post, AsyncExitStack], Awaitable[dict[str, Node]]] = links_of,
    ) -> None:
        self.config = config
        self.options = options
        self._recent = recent
        self._more_engines, self._nodes = more_engines, nodes
        self._started_at = time.time()
        self._stop = asyncio.Event()
        self._notifier = Notifier.from_environment()
        self._rate = RateWindow()
        self.dispatcher: Dispatcher | None = None
        self._early: list[Event] = []
        self._hashes = 0
        self._signs = False

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does."""
        self._stop.set()

    # --- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """From the lock on the data folder to the last line."""
        config = self.config
        async with AsyncExitStack() as stack:
            self._catch_signals()
            if self.options.secs is not None:
                asyncio.get_running_loop().call_later(self.options.secs, self._stop.set)
            settings = self._pool_settings(self._plan())
            check_for_workers(settings.plan, settings.admitted_workers)
            recorder = self._recorder()
            plan = {"hash": settings.plan.hash_hex, "mode": settings.plan.mode, **settings.plan.facts()}
            replay = recorder.open(self._started_at, {"mode": config.mode, "plan": plan})
            stack.callback(lambda: recorder.close(time.time()))
            stack.enter_context(logged_to(recorder.log_handler()))
            self._notifier.starting("starting the workers", START_PATIENCE_SECS)
            pool = WorkerPool(settings, now, log.info)
            engines = EngineSet([pool, *self._more_engines], ExtranonceDealer(int.from_bytes(os.urandom(4))))
            await engines.start(self._post)  # first: kernels load while a node is found or started
            stack.push_async_callback(engines.stop, ENGINES_STOP_SECS)
            links = await self._nodes(config, self._post, stack)
            known = await await_payout(
                config, links, self._stop, lambda text: self._notifier.starting(text, START_PATIENCE_SECS)
            )
            if known is not None:
                payout, self._signs = known
                coordinator = self._coordinator(links, payout, settings, engines.extranonce1(pool.name))
                await self._mine(coordinator, engines, pool, links, recorder, replay, payout)
                self._say_goodbye(coordinator)
                return self._verdict(coordinator)
        return 0

    async def _mine(
        self,
        coordinator: Coordinator,
        engines: EngineSet,
        pool: WorkerPool,
        links: dict[str, Node],
        recorder: Recorder,
        replay: Replay,
        payout: Payout,
    ) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                tasks: list[asyncio.Task[Any]] = []

                def spawn(work: Coroutine[Any, Any, None], name: str | None = None) -> None:
                    task = group.create_task(work, name=name)
                    tasks.append(task)
                    task.add_done_callback(tasks.remove)

                watch = self._search_watch(pool, recorder)
                dispatcher = self.dispatcher = Dispatcher(coordinator, engines, links, recorder, spawn, watch)
                self._replay(dispatcher, replay)
                for event in self._early:
                    dispatcher.post(event)
                spawn(dispatcher.run(), "coordinator")
                for link in links.values():
                    spawn(link.run(), f"node {link.name}")
                spawn(engines.run(), "engines")
                spawn(self._ticks(dispatcher), "ticks")
                spawn(self._samples(dispatcher, pool, recorder, watch), "samples")
                spawn(self._limits(dispatcher), "limits")

                def look() -> Snapshot:
                    return self._look(coordinator, pool, payout)

                governor = self._governor(dispatcher, engines, pool, look, self._policies(engines, links, recorder))
                spawn(governor.run(), "governor")
                spawn(ControlServer(folder_of(self.config), governor.handlers()).run(), "control socket")
                spawn(self._show(look), "view")
                self._notifier.ready("started")
                spawn(self._notifier.keep_alive(dispatcher.changed, lambda: self._status(coordinator)), "watchdog")
                await self._stop.wait()
                self._notifier.stopping("the workers finish their slice")
                log.info("stopping: the workers finish their slice")
                if not (snapshot := self._count(dispatcher, pool)).hashes:
                    log.warning("no hash was computed: %s", why_no_hash(snapshot, coordinator.status))
                engines.stop_work()
                governor.stopping()  # or the next tip would start the work again
                await dispatcher.settle(LAST_ANSWERS_SECS)
                watch.look(time.time(), time.monotonic(), self._count(dispatcher, pool))
                watch.close(time.time(), time.monotonic())
                for task in tuple(tasks):  # they remove themselves
                    if task.get_name() in _USERS_OF_THE_POOL:
                        task.cancel()
                await engines.stop(ENGINES_STOP_SECS)
                await dispatcher.settle(LAST_ANSWERS_SECS)  # of what the workers' last slices found
                for link in links.values():
                    await link.close()
                for task in tuple(tasks):
                    task.cancel()
        except BaseExceptionGroup as group_error:
            for error in group_error.exceptions:
                log.critical("a part of the daemon ended unexpectedly", exc_info=error)
            raise SolominerError("the daemon ended because one of its parts did", "see the log above") from group_error

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def caught(number: signal.Signals) -> None:
            if self._stop.is_set() and number != signal.SIGHUP:  # which comes twice: from the kernel and from a shell
                os._exit(EXIT_SECOND_SIGNAL)
            log.info("caught %s; once more to end at once", number.name)
            self._stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, caught, number)
        if has_controlling_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
            loop.add_signal_handler(signal.SIGHUP, caught, signal.SIGHUP)

    def _post(self, event: Event) -> None:
        """For the parts that start before the dispatcher does."""
        if self.dispatcher is None:
            self._early.append(event)
        else:
            self.dispatcher.post(event)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _recorder(self) -> Recorder:
        config = self.config

        def on_alarm(severity: str, code: str, message: str, todo: str) -> None:
            log.log(LEVELS[Severity(severity)], "%s [%s]", f"{message} -> {todo}" if todo else message, code)

        settings = RecorderSettings(
            journal_fallback_dir=config.journal_fallback_dir,
            signing_key=config.records.signing_key,
            keep_days=config.records.keep_days,
            quota_bytes=int(config.records.quota_gb * 2**30),
            free_bytes=int(config.records.free_gb * 2**30),
        )
        network = config.chain.name
        return Recorder(config.records_dir, config.tree_name, network=network, on_alarm=on_alarm, settings=settings)

    def _plan(self) -> SearchPlan:
        plan = load_plan(self.config.plan, self.config.mode)
        log.info("search plan %s, order %s (%s)", plan.hash_hex[:16], plan.strides.order, self.config.plan or "default")
        return plan

    def _pool_settings(self, plan: SearchPlan) -> PoolSettings:
        kernel = kernel_for(plan, self.config.kernel)
        return PoolSettings(**_limits(self.config), kernel=kernel, cache_dir=default_cache_dir(), plan=plan)

    def _search_watch(self, pool: WorkerPool, recorder: Recorder) -> SearchWatch:
        def alert(severity: Severity, code: str, message: str, todo: str) -> None:
            if self.dispatcher is not None:
                self.dispatcher.alarm(severity, code, message, todo)

        plan, workers = pool.settings.plan, pool.settings.admitted_workers
        return SearchWatch(plan, workers, pool.hashes_of, alert, recorder.record, time.monotonic())

    def _coordinator(
        self, links: dict[str, Node], payout: Payout, settings: PoolSettings, extranonce1: bytes
    ) -> Coordinator:
        config = self.config
        policy = Policy(
            refresh_secs=config.refresh_secs,
            stale_secs=config.stale_secs,
            shares_per_hour=config.shares_per_hour,
            empty_first=config.mines_empty_first and config.mode != "demo",
            staging=config.mode == "staging",
            submit=config.mode != "demo",
            max_blocks=self.options.blocks,
            sign_for=(extranonce1, _first_searched(settings)) if self._signs else None,
            retry=RetryPolicy(config.retry.first_secs, config.retry.most_secs, config.retry.look_secs),
        )
        log.info("the whole reward goes to %s", payout.address or payout.script_pubkey.hex())
        tag = config.coinbase_tag.encode()
        return Coordinator(config.chain, list(links), payout, tag, policy, os.urandom(2))

    def _governor(
        self,
        dispatcher: Dispatcher,
        engines: EngineSet,
        pool: WorkerPool,
        look: Callable[[], Snapshot],
        policies: Policies | None,
    ) -> Governor:
        governor = Governor(
            self.config,
            dispatcher.coordinator,
            dispatcher.post,
            engines,
            look,
            self._stop.set,
            now,
            policies=policies,
            apply=lambda config: pool.apply(replace(pool.settings, **_limits(config))),
            reload=self.options.reload,
            max_blocks=self.options.blocks,
        )
        if not has_controlling_terminal():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload, governor)
        return governor

    def _reload(self, governor: Governor) -> None:
        self._notifier.reloading()
        governor.reload_by_signal()
        self._notifier.ready("reloaded")

    def _policies(self, engines: EngineSet, links: dict[str, Node], recorder: Recorder) -> Policies | None:
        """The policies, where any is set."""
        settings = self.config.policies
        if not settings.is_on:
            if settings.dry_run:
                log.warning("dry run of the policies: none is set, so there is nothing to try")
            return None
        electricity = electricity_of(self.config.electricity)
        return Policies(
            settings,
            electricity,
            engines.snapshot,
            note=recorder.record,
            forecast=lambda: forecast_from(links.values()),
            clock=now,
        )

    def _replay(self, dispatcher: Dispatcher, replay: Replay) -> None:
        """Blocks of earlier runs that are not settled yet are looked up, and sent again where they are missing."""
        for problem in replay.problems:
            log.warning("journal: %s", problem)
        for entry in replay.blocks:
            if entry.block is not None:
                dispatcher.kept_in(entry.hash_le, entry.folders)
                actions = dispatcher.coordinator.restore(entry.block, entry.state, now())
                if actions:
                    log.info("still following block %d %s", entry.height, entry.block.hash_hex)
                dispatcher.do(actions)

    # --- what runs beside ----------------------------------------------------------------------------------------

    async def _ticks(self, dispatcher: Dispatcher) -> None:
        while True:
            await asyncio.sleep(TICK_SECS)
            dispatcher.post(Tick(now()))

    async def _samples(self, dispatcher: Dispatcher, pool: WorkerPool, recorder: Recorder, watch: SearchWatch) -> None:
        """Once a second: counters to the records, and now and then how hard shares should be."""
        beat = 0
        started = False
        while True:
            snapshot = self._count(dispatcher, pool)
            if self.options.hashes is not None and snapshot.hashes >= self.options.hashes:
                self._stop.set()
            watch.look(time.time(), time.monotonic(), snapshot)
            if started:
                self._rate.add(time.monotonic(), snapshot.hashes)
            starts_ns = [worker.started_ns for worker in snapshot.workers if worker.started_ns]  # 0 between two jobs
            if not started and starts_ns:
                started = True
                waited = min(starts_ns) / 1e9 - time.monotonic() + age_secs()
                log.info("the first hash came %.2f s after the start", waited)
            if beat % SYSTEM_BEATS == 0:
                recorder.system(time.time(), **machine())
            recorder.tick(time.time())
            if beat in (2, 5) or beat % 30 == 10:
                dispatcher.post(HashRate(now(), snapshot.rate_hps))
            beat += 1
            await asyncio.sleep(SAMPLE_SECS)

    def _count(self, dispatcher: Dispatcher, pool: WorkerPool) -> PoolSnapshot:
        self._hashes = round(sum(engine.hashes for engine in dispatcher.count_hashes()))
        return pool.pool_snapshot()

    async def _limits(self, dispatcher: Dispatcher) -> None:
        """Stop after `--blocks`."""
        coordinator, wanted = dispatcher.coordinator, self.options.blocks
        while wanted is not None:
            done = coordinator.demo_blocks if self.config.mode == "demo" else coordinator.blocks.accepted_count
            if done >= wanted:
                self._stop.set()
            dispatcher.changed.clear()
            await dispatcher.changed.wait()

    def _look(self, coordinator: Coordinator, pool: WorkerPool, payout: Payout) -> Snapshot:
        return overview(
            at=time.time(),
            started_at=self._started_at,
            config=self.config,
            coordinator=coordinator,
            pool=pool.pool_snapshot(),
            rate=self._rate.estimate(),
            payout=payout.address,
            events=list(self._recent.lines),
        )

    async def _show(self, look: Callable[[], Snapshot]) -> None:
        if not self.options.live_view:
            await _status_lines(look)
        with suppress(OSError), ConsoleView() as view:  # a terminal that is closed cannot be drawn on
            while True:
                view.show(look())
                await asyncio.sleep(DRAW_SECS)

    def _status(self, coordinator: Coordinator) -> str:
        """One line for the service manager."""
        speed, accepted = rate(self._rate.estimate().value), coordinator.blocks.accepted_count
        return f"{coordinator.status} at height {coordinator.tip_height + 1}: {speed}, {accepted} blocks accepted"

    def _verdict(self, coordinator: Coordinator) -> int:
        """The exit code: in a bounded mode 1 if a block was rejected, or if `blocks` were wanted and not reached."""
        if not MODES[self.config.mode].bounded:
            return 0
        rejected = any(tracked.state is BlockState.REJECTED for tracked in coordinator.blocks.settled)
        missing = self.options.blocks is not None and coordinator.blocks.accepted_count < self.options.blocks
        return 1 if rejected or missing else 0

    def _say_goodbye(self, coordinator: Coordinator) -> None:
        blocks = coordinator.blocks
        log.info(
            "stopped after %s: %d hashes, %d shares, %d blocks accepted",
            duration(time.time() - self._started_at),
            self._hashes,
            coordinator.judge.shares,
            blocks.accepted_count,
        )


def _limits(config: Config) -> dict[str, Any]:
    """The settings of the CPU pool that a reload changes."""
    memory = None if config.max_memory_gb is None else int(config.max_memory_gb * 2**30)
    workers = max(1, usable_cores() - config.cpu_cores_reserved)
    return {"workers": workers, "nice": config.nice, "max_memory_bytes": memory}


def _first_searched(settings: PoolSettings) -> int:
    """The one that the first worker begins every job with."""
    return settings.plan.extranonce(0, settings.admitted_workers, 0)


async def _status_lines(look: Callable[[], Snapshot]) -> None:
    """A line a minute, for whoever tails the log."""
    while True:
        await asyncio.sleep(STATUS_LINE_SECS)
        s = look()
        log.info(
            "%s at height %d: %s, %d shares, %d blocks accepted, %d transactions paying %s",
            s.status, s.height + 1, rate(s.rate_hps), s.shares, s.accepted_blocks, s.transactions, coins(s.fees_sats),
        )  # fmt: skip
