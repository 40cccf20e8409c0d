"""A node's run: its signals, its status line, its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from solominer.chain.networks import NETWORKS
from solominer.engines.cluster.front_end import FrontEnd
from solominer.engines.cluster.join_file import JoinFile
from solominer.engines.cluster.node import Node
from solominer.engines.cluster.spool import Spool
from solominer.engines.gpu.engine import GpuEngine, GpuSettings
from solominer.engines.pool.pool import PoolSettings, WorkerPool
from solominer.engines.stratum.engine import StratumSettings
from solominer.errors import SolominerError, leaves
from solominer.records.lock import FolderLock
from solominer.records.report.formats import many
from solominer.views.text import duration, rate
from solominer.work.instant import Instant

STATUS_LINE_SECS = 60.0
SPOOL = "shares.spool"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a node is started with: at least one of `cpu`, `gpu` and `stratum`; `folder` keeps undelivered shares."""

    join: JoinFile
    cpu: PoolSettings | None
    gpu: GpuSettings | None
    stratum: StratumSettings | None
    folder: Path


def run_node(settings: NodeSettings) -> None:
    """Run until it is stopped or drained. Raises SolominerError if it cannot start or a part of it fails."""
    lock = FolderLock(settings.folder)
    lock.acquire()
    try:
        asyncio.run(_run(settings))
    finally:
        lock.release()


async def _run(settings: NodeSettings) -> None:
    pools: list[WorkerPool] = []
    if settings.cpu is not None:
        pools.append(WorkerPool(settings.cpu, _now, log.info))
    if settings.gpu is not None:
        pools.append(GpuEngine(settings.gpu, _now, log.info))
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    started = time.monotonic()
    front = None
    if settings.stratum is not None:
        front = FrontEnd(settings.stratum, NETWORKS[settings.join.network], _now)
    node = Node(settings.join, pools, Spool(settings.folder / SPOOL), _now, front)
    lines = loop.create_task(_status_lines(node))
    try:
        await node.run(stop)
    except BaseExceptionGroup as group:
        known, others = group.split(SolominerError)
        if others is None and known is not None:
            raise next(leaves(known)) from None
        raise
    finally:
        lines.cancel()
    log.info("stopped after %s: %s found", duration(time.monotonic() - started), many(node.blocks, "block"))


def _now() -> Instant:
    return Instant(time.time(), time.monotonic())


async def _status_lines(node: Node) -> NoReturn:
    while True:
        await asyncio.sleep(STATUS_LINE_SECS)
        log.info(
            "%s: %s, %s delivered, %d waiting, %s found",
            node.status,
            rate(sum(worker.rate_hps for worker in node.workers)),
            many(node.delivered, "share"),
            len(node.spool),
            many(node.blocks, "block"),
        )
