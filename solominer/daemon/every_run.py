"""What every run has, at nodes or at pools: limits, signals, records, its end, status lines, and its users."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from solominer.config.models import Config
from solominer.daemon.control_socket import ControlServer, Handler
from solominer.daemon.host_metrics import now
from solominer.daemon.parts import pool_settings_of, recorder_of
from solominer.daemon.sd_notify import Notifier
from solominer.daemon.status import Sampler, why_no_hash
from solominer.daemon.status_feed import StatusFeed
from solominer.engines.engine_set import EngineSet
from solominer.engines.pool.pool import WorkerPool
from solominer.errors import SolominerError, leaves
from solominer.governor.governor import Governor
from solominer.records.journal.recovery import Replay
from solominer.records.recorder import Recorder
from solominer.records.report.formats import many
from solominer.views.console import ConsoleView, has_controlling_terminal
from solominer.views.logs import RecentEvents, logged_to
from solominer.views.snapshot import Snapshot
from solominer.views.text import coins, rate
from solominer.work.ports import Engine, Post, ShareObserver

log = logging.getLogger("solominer.daemon.daemon")

STATUS_LINE_SECS = 60.0
DRAW_SECS = 0.5
EXIT_SECOND_SIGNAL = 130


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of one run: limits in `blocks`, seconds (`secs`) and `hashes`, and whether to show the live view.

    `reload` loads the configuration again, with the flags of this run. `config_file` is its file, if any.
    """

    blocks: int | None = None
    secs: float | None = None
    live_view: bool = False
    hashes: int | None = None
    reload: Callable[[], Config] | None = None
    config_file: Path | None = None


class EveryRun(ABC):
    """One run of the daemon. `more_engines` run beside its own."""

    ENGINES_STOP_SECS: ClassVar[float] = 5.0
    START_PATIENCE_SECS: ClassVar[float] = 300.0

    def __init__(
        self, config: Config, options: RunOptions, recent: RecentEvents, more_engines: Sequence[Engine] = ()
    ) -> None:
        self.config, self.options = config, options
        self._recent, self._more_engines = recent, more_engines
        self._started_at = time.time()
        self._stop = asyncio.Event()
        self._notifier = Notifier.from_environment()

    def stop(self) -> None:
        """Request shutdown, as SIGTERM does."""
        self._stop.set()

    async def run(self) -> int:
        """Start, mine and shut down; returns the exit code. Raises SolominerError if a part fails."""
        async with AsyncExitStack() as stack:
            catch_signals(self._stop)
            if self.options.secs is not None:
                asyncio.get_running_loop().call_later(self.options.secs, self._stop.set)
            return await self._run(stack)

    @abstractmethod
    async def _run(self, stack: AsyncExitStack) -> int:
        """The run within its limits; `stack` closes what it opens."""

    def _open_records(self, stack: AsyncExitStack) -> tuple[Recorder, Replay, WorkerPool]:
        """Open the records, which the log is written to from now on; the CPU pool is not started yet."""
        settings, recorder = pool_settings_of(self.config), recorder_of(self.config)
        plan = {"hash": settings.plan.hash_hex, "mode": settings.plan.mode, **settings.plan.facts()}
        replay = recorder.open(self._started_at, {"mode": self.config.mode, "plan": plan})
        stack.callback(lambda: recorder.close(time.time()))
        stack.enter_context(logged_to(recorder.log_handler()))
        self._notifier.starting("starting the workers", self.START_PATIENCE_SECS)
        return recorder, replay, WorkerPool(settings, now, log.info)

    async def _start_engines(self, engines: EngineSet, post: Post, stack: AsyncExitStack) -> None:
        await engines.start(post)
        stack.push_async_callback(engines.stop, self.ENGINES_STOP_SECS)

    @contextmanager
    def _failures_logged(self) -> Iterator[None]:
        """Around the task group of all parts: what ends one of them is logged, and SolominerError is raised."""
        try:
            yield
        except BaseExceptionGroup as group:
            for error in leaves(group):
                log.critical("a part of the daemon ended unexpectedly", exc_info=error)
            raise SolominerError("the daemon stopped after an internal error", "see the log above") from group

    def _say_stopping(self, sampler: Sampler, pools: Sequence[WorkerPool], status: str) -> None:
        self._notifier.stopping("waiting for workers")
        log.info("shutting down: waiting for workers")
        sampler.count()
        if not sampler.hashes:
            workers = [worker for pool in pools for worker in pool.pool_snapshot().workers]
            log.warning("no hashes were computed: %s", why_no_hash(workers, status))

    async def _end_users(self, observer: ShareObserver, users: asyncio.Task[None]) -> None:
        """Close the observer, and end what `serve_users` runs: it reads the engines, so it ends before them."""
        observer.look(time.time(), time.monotonic())
        observer.close(time.time(), time.monotonic())
        users.cancel()
        await asyncio.wait([users])

    async def _limit_blocks(self, found: Callable[[], int], changed: asyncio.Event) -> None:
        """Stop after `--blocks`; `changed` is set when `found` may have changed."""
        while self.options.blocks is not None:
            if found() >= self.options.blocks:
                self._stop.set()
            changed.clear()
            await changed.wait()

    def _limit_hashes(self, hashes: int) -> None:
        if self.options.hashes is not None and hashes >= self.options.hashes:
            self._stop.set()


def catch_signals(stop: asyncio.Event) -> None:
    """Set `stop` at SIGINT, SIGTERM, and a terminal's SIGHUP; exit at once at a second one."""
    loop = asyncio.get_running_loop()

    def caught(number: signal.Signals) -> None:
        if stop.is_set() and number != signal.SIGHUP:  # which is sent twice, by the kernel and by the shell
            os._exit(EXIT_SECOND_SIGNAL)
        log.info("%s: shutting down; repeat to exit immediately", number.name)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, caught, number)
    if has_controlling_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        loop.add_signal_handler(signal.SIGHUP, caught, signal.SIGHUP)


def reload_on_sighup(
    governor: Governor, notifier: Notifier, spawn: Callable[[Coroutine[Any, Any, None]], object]
) -> None:
    """Have SIGHUP reload the configuration of a service; `spawn` starts a task."""

    async def reload() -> None:
        notifier.reloading()
        await governor.reload_by_signal()
        notifier.ready("reloaded")

    if not has_controlling_terminal():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: spawn(reload()))


async def serve_users(
    config: Config,
    options: RunOptions,
    governor: Governor,
    sampler: Sampler,
    snapshot: Callable[[], Snapshot],
    urgent: Callable[[], Hashable],
    handlers: Mapping[str, Handler] | None = None,
) -> None:
    """Samples, governor, control socket, view and web server. They read the engines, so they end before them.

    `handlers` answer more requests on the control socket.
    """
    feed = StatusFeed(governor.snapshot, urgent)
    control = ControlServer(config.tree_dir, {**governor.handlers(), **(handlers or {})}, {"watch": feed.lines})
    async with asyncio.TaskGroup() as group:
        group.create_task(sampler.run(), name="samples")
        group.create_task(governor.run(), name="governor")
        group.create_task(control.run(), name="control socket")
        group.create_task(_show(snapshot, live=options.live_view), name="view")
        if config.web.enabled:
            from solominer.daemon.web_process import WebProcess
            from solominer.web.setup import WebSetup

            web = WebProcess(WebSetup.of(config, options.config_file))
            group.create_task(web.run(), name="web server")


async def _show(snapshot: Callable[[], Snapshot], *, live: bool) -> None:
    if not live:
        await _status_lines(snapshot)
    with suppress(OSError), ConsoleView() as view:  # the terminal was closed
        while True:
            view.show(snapshot())
            await asyncio.sleep(DRAW_SECS)


async def _status_lines(snapshot: Callable[[], Snapshot]) -> NoReturn:
    """Log a status line every minute."""
    while True:
        await asyncio.sleep(STATUS_LINE_SECS)
        s = snapshot()
        for pool in s.pools:
            if pool.active:
                log.info(
                    "%s at %s: %s, shares: %d accepted, %d rejected, %d stale",
                    s.status, pool.url, rate(s.rate_hps), pool.accepted, pool.rejected, pool.stale,
                )  # fmt: skip
        if not s.pools:
            log.info(
                "%s at height %d: %s, %s, %s accepted, %s paying %s",
                s.status, s.height + 1, rate(s.rate_hps), many(s.shares, "share"), many(s.accepted_blocks, "block"),
                many(s.transactions, "transaction"), coins(s.fees_sats),
            )  # fmt: skip
