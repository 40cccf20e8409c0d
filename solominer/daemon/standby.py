"""Standing by: of several daemons with `cluster.standby` one is the head of the cluster, and the others wait.

A daemon takes over only if its own node answers, and with a copy of the old head's jobs. From then on it writes its
lease again each second; if another daemon has it, this one ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import NoReturn

from nats.aio.client import Client

from solominer.chain.fields import Field
from solominer.config.models import Config
from solominer.daemon.control_socket import ControlServer
from solominer.daemon.nodes import await_payout
from solominer.daemon.parts import cluster_settings_of
from solominer.daemon.sd_notify import Notifier
from solominer.engines.cluster.connection import LOST, connect
from solominer.engines.cluster.lease import RENEW_SECS, SILENT_SECS, HeadLease
from solominer.engines.cluster.members import NAME
from solominer.engines.cluster.settings import ClusterSettings
from solominer.engines.cluster.vault import copy_of_jobs
from solominer.errors import SolominerError
from solominer.records.lock import FolderLock
from solominer.records.tree import atomic_write
from solominer.work.ports import Node

LOOK_SECS = 0.25
END_SECS = 2.0
_MODE = 0o600
_REQUESTS = ("status", "pause", "resume", "reload", "cluster-drain")

log = logging.getLogger("solominer.daemon.daemon")


class Standby:
    """This daemon's turn: `wait` for it; it is kept until `stack` closes, or until `lost` is called."""

    def __init__(self, settings: ClusterSettings, lost: Callable[[], None]) -> None:
        self._settings, self._lost = settings, lost
        self.status = "connecting to the cluster's servers"

    async def wait(self, node_answers: Callable[[], Awaitable[object]], stack: AsyncExitStack) -> None:
        """Until this daemon is the head. `node_answers` waits for its node, and raises what is wrong with it."""
        await node_answers()  # a wrong setting is said now, not when it matters

        async def back() -> None:
            """There is nothing to do again."""

        settings = self._settings
        inbox = f"_INBOX.{NAME}-standby"
        client = await connect(settings.servers, NAME, tls=settings.tls, inbox=inbox, back=back)
        stack.push_async_callback(client.close)
        lease = HeadLease(client, settings.replicas)
        while not await self._try(lease, client, node_answers):
            await asyncio.sleep(LOOK_SECS)
        log.warning("this daemon is the head of the cluster now")
        keeping = asyncio.create_task(self._keep(lease))
        stack.push_async_callback(_end, lease, keeping)

    def waits(self, status: str) -> None:
        """What it waits for."""
        if status != self.status:
            log.info("%s", status)
        self.status = status

    async def _try(self, lease: HeadLease, client: Client, node_answers: Callable[[], Awaitable[object]]) -> bool:
        """Become the head, if nobody is; whether this daemon is it now."""
        try:
            if holder := await lease.holder():
                self.waits(
                    f"standing by: {holder} is the head; this daemon takes over after {SILENT_SECS:g} s of silence"
                )
                return False
            await node_answers()
            jobs = await copy_of_jobs(client)
            if not await lease.take():
                return False
        except LOST as error:
            self.waits(f"the cluster's servers do not say who is the head: {error or type(error).__name__}")
            return False
        path = self._settings.jobs_file
        if path is not None and jobs:
            try:
                await asyncio.to_thread(atomic_write, path, jobs, mode=_MODE)
            except OSError as error:
                log.error("blocks found for the last head's jobs are lost: %s: %s", path, error.strerror)
        return True

    async def _keep(self, lease: HeadLease) -> None:
        """Stay the head. While the servers do not answer, nobody else can become it."""
        while True:
            await asyncio.sleep(RENEW_SECS)
            with suppress(*LOST):
                if not await lease.renew():
                    self._lost()
                    return


async def await_turn(
    config: Config,
    nodes_of: Callable[[AsyncExitStack], Awaitable[dict[str, Node]]],
    stop: asyncio.Event,
    notifier: Notifier,
    lost: Callable[[], None],
    stack: AsyncExitStack,
) -> bool:
    """Whether this daemon has become the head; False: `stop` came first. Raises what is wrong with its nodes."""
    standby = Standby(cluster_settings_of(config), lost)

    def say(request: Field) -> NoReturn:
        raise SolominerError(standby.status, "ask the head")

    async def beats() -> NoReturn:
        notifier.ready(standby.status)
        while True:
            await asyncio.sleep(notifier.beat_secs)
            notifier.alive(standby.status)

    folder = config.tree_dir
    lock = FolderLock(config.records_dir, folder)
    lock.acquire()
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as waiting:
        waiting.callback(lock.release)
        nodes = {} if config.wants_private_node else await nodes_of(waiting)

        async def node_answers() -> None:
            if nodes:
                await await_payout(config, nodes, stop, standby.waits)

        control = ControlServer(folder, dict.fromkeys(_REQUESTS, say))
        turn = asyncio.create_task(standby.wait(node_answers, stack))
        tasks = [turn, *map(asyncio.create_task, (stop.wait(), control.run(), beats()))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for node in nodes.values():
            await node.close()
        if turn.cancelled():
            return False
        turn.result()
        return not stop.is_set()


async def _end(lease: HeadLease, keeping: asyncio.Task[None]) -> None:
    """Let another daemon become the head at once."""
    if keeping.done():
        return
    keeping.cancel()
    await asyncio.wait([keeping])
    with suppress(*LOST):
        async with asyncio.timeout(END_SECS):
            await lease.release()
