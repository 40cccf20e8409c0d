"""What every run has around its mining, at nodes or at pools: signals, limits, status lines, and its users."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from solominer.config.models import Config
from solominer.daemon.control_socket import ControlServer, Handler
from solominer.daemon.sd_notify import Notifier
from solominer.daemon.status import Sampler
from solominer.daemon.status_feed import StatusFeed
from solominer.governor.governor import Governor, folder_of
from solominer.views.console import ConsoleView, has_controlling_terminal
from solominer.views.snapshot import Snapshot
from solominer.views.text import coins, rate

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
    control = ControlServer(folder_of(config), {**governor.handlers(), **(handlers or {})}, {"watch": feed.lines})
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
                "%s at height %d: %s, %d shares, %d blocks accepted, %d transactions paying %s",
                s.status, s.height + 1, rate(s.rate_hps), s.shares, s.accepted_blocks, s.transactions,
                coins(s.fees_sats),
            )  # fmt: skip


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions in a group, and in the groups inside of it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
