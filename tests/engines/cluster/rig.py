"""A head and nodes on a real server, in this process: what the head posts is kept, and judged when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from solominer.engines.cluster.engine import ClusterEngine
from solominer.engines.cluster.join_file import ClusterFiles, JoinFile, node_names
from solominer.engines.cluster.node import Node
from solominer.engines.cluster.settings import ClusterSettings
from solominer.engines.cluster.spool import Spool
from solominer.engines.pool.pool import PoolSettings, WorkerPool
from solominer.setup.cluster.folder import ClusterFolder
from solominer.work.events import Event, ShareFound
from solominer.work.job import Job
from solominer.work.workers import ExtranonceRange
from tests.fakes import real_clock
from tests.work.builders import PAYOUT

SPACE = ExtranonceRange(0x01000000, 1 << 16)
PATIENCE_SECS = 20.0


async def until(holds: Callable[[], object], secs: float = PATIENCE_SECS) -> None:
    """Until it holds."""
    async with asyncio.timeout(secs):
        while not holds():
            await asyncio.sleep(0.002)


class Head:
    """A ClusterEngine and what it posts. With `judges` each share is judged at once; `earlier` is of runs before."""

    def __init__(self, folder: ClusterFolder, *, judges: bool = True, **earlier: Any) -> None:
        files = ClusterFiles.read(folder.path)
        self.events: list[Event] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.judges, self.writes = judges, True
        settings = ClusterSettings(
            files.servers,
            "regtest",
            files.tls_context(),
            folder.path / "cluster-jobs.bin",
            node_names=lambda: node_names(folder.path),
        )
        self.engine = ClusterEngine(
            settings,
            real_clock,
            note=lambda kind, fields: self.notes.append((kind, dict(fields))),
            write=lambda: self.writes,
            **earlier,
        )

    @property
    def shares(self) -> list[ShareFound]:
        """The shares that were posted."""
        return [event for event in self.events if isinstance(event, ShareFound)]

    def post(self, event: Event) -> None:
        """Take an event."""
        self.events.append(event)
        if self.judges and isinstance(event, ShareFound):
            self.engine.share_judged(event)

    async def unjudged(self) -> int:
        """How many shares the server keeps."""
        assert self.engine._client is not None
        info = await self.engine._client.jsm().stream_info("SHARES")
        return info.state.messages


@asynccontextmanager
async def head(folder: ClusterFolder, **options: Any) -> AsyncIterator[Head]:
    """A head that has begun its run."""
    made = Head(folder, **options)
    await made.engine.start(made.post, SPACE)
    running = asyncio.create_task(made.engine.run())
    try:
        await until(lambda: made.engine._ready)
        yield made
    finally:
        await made.engine.stop(2.0)
        await asyncio.wait_for(running, 5)


@asynccontextmanager
async def node(folder: ClusterFolder, name: str, *pools: WorkerPool) -> AsyncIterator[Node]:
    """A node that runs, with a hashlib kernel or these pools."""
    made = new_node(folder, name)
    made = Node(made.join, pools, made.spool, real_clock) if pools else made
    stop = asyncio.Event()
    running = asyncio.create_task(made.run(stop))
    try:
        yield made
    finally:
        stop.set()
        await asyncio.wait_for(running, 15)


def new_node(folder: ClusterFolder, name: str, pays: tuple[bytes, ...] = (PAYOUT.script_pubkey,)) -> Node:
    """A node that was not started, whose blocks must pay these scripts."""
    join = replace(JoinFile.read(folder.join_path(name)), payout_scripts=pays)
    pool = WorkerPool(PoolSettings(1, "fake", engine="tests.hashing.fake_engine"), real_clock)
    return Node(join, [pool], Spool(folder.path / f"{name}.spool"), real_clock)


def next_job(job: Job, job_id: int, **template: Any) -> Job:
    """Another one, of the same run."""
    return replace(
        job,
        job_id=job_id,
        salt=job.salt[:2] + job_id.to_bytes(2, "big"),
        template=replace(job.template, **template),
    )


def too_hard(job: Job) -> Job:
    """A job of which nothing is ever found."""
    return replace(job, share_target=1, template=replace(job.template, target=1, nbits=0x03000001))


def searches(n: Node, job_id: int | None) -> bool:
    """Whether a node is at this job, or at none."""
    if job_id is None or n.message is None or n.message.job is None:
        return job_id is None and not n.is_searching
    return n.is_searching and n.message.job.job_id == job_id
