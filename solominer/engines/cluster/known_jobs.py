"""The jobs that nodes may still send shares of: those of this run, and those of the run before from the disk."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from solominer.engines.cluster.messages import ShareMessage
from solominer.engines.cluster.vault import Vault
from solominer.engines.jobs_file import JobsFile, SavedJob, Written
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import EngineError
from solominer.work.events import JobRestored, ShareFound
from solominer.work.instant import Clock
from solominer.work.job import Job, SplitCoinbase
from solominer.work.ports import Post
from solominer.work.workers import EXTRANONCE1_SIZE, WorkerId

MOST_KNOWN = 1024
DISK_SECS = 0.25
"""A job does not wait for the disk longer than this."""


class KeptJob(NamedTuple):
    """A job on the disk: the run it is of, and what nodes got of it (`WorkerJob.pack`)."""

    run: int
    packed: bytes


class KnownJobs:
    """Jobs by run and id. With a `path` each is on the disk before it goes out, written by a thread; in `vault` too.

    So a solution that is found while the daemon is away, however soon, is a block.
    """

    def __init__(self, path: Path | None, vault: Vault | None = None) -> None:
        self._file, self._vault = JobsFile(path, KeptJob) if path else None, vault
        self._disk = ThreadPoolExecutor(1, "cluster jobs")
        self._restored: dict[tuple[int, int], WorkerJob] = {}
        self._own: OrderedDict[int, WorkerJob] = OrderedDict()

    @property
    def newest_restored(self) -> int:
        """The newest run that jobs were restored of; 0: none."""
        return max((run for run, _ in self._restored), default=0)

    def restore(self, post: Post, clock: Clock) -> None:
        """Begin with those of the run before; `post` hears of them."""
        for saved in self._file.load() if self._file else ():
            try:
                job = WorkerJob.unpack(saved.own.packed)
            except EngineError:
                continue
            self._restored[saved.own.run, job.job_id] = job
            post(JobRestored(clock(), job.job_id, saved.template, max(0.0, time.time() - saved.at)))

    async def add(self, run: int, job: Job) -> WorkerJob:
        """A job that is about to go out, and what nodes get of it; returns when it is on the disk, if it is soon."""
        packed = WorkerJob.of(job, bytes(EXTRANONCE1_SIZE))
        again = job.job_id in self._own  # it may be about to be written
        self._own[job.job_id] = packed
        while len(self._own) > MOST_KNOWN:
            self._own.popitem(last=False)
        if self._file is not None:
            saved = None if again else SavedJob(time.time(), KeptJob(run, packed.pack()), job.template)
            keeping = asyncio.ensure_future(self._keep(self._file, saved))
            await asyncio.wait([keeping], timeout=DISK_SECS)
        return packed

    async def _keep(self, file: JobsFile[KeptJob], saved: SavedJob[KeptJob] | None) -> None:
        """Write it, in order."""
        vault = self._vault

        def write() -> Written:
            written = Written(b"") if saved is None else file.add(saved)
            return written if vault is None else vault.complete(written)

        written = await asyncio.get_running_loop().run_in_executor(self._disk, write)
        if vault is not None:
            await vault.put(written)

    def job_of(self, share: ShareMessage, run: int) -> WorkerJob | None:
        """What nodes got of the job of a share that arrives in `run`; None if it is not known."""
        restored = self._restored.get((share.run, share.job_id))
        return self._own.get(share.job_id) if restored is None and share.run == run else restored

    def event(self, share: ShareMessage, job: WorkerJob, worker: WorkerId, is_block: bool, clock: Clock) -> ShareFound:
        """The event of a share of this job, which is its `job_of`."""
        coinbase = None
        if (share.run, share.job_id) in self._restored:  # the configuration of that run may have been another one
            coinbase = SplitCoinbase(f"run-{share.run}", job.coinbase_prefix, job.coinbase_suffix)
        wanted = job.share_target
        return ShareFound(
            at=clock(),
            worker=worker,
            job_id=share.job_id,
            extranonce=share.extranonce,
            version=share.version,
            ntime=share.ntime,
            nonce=share.nonce,
            share_target=min(share.share_target or wanted, wanted),  # a miner may have been asked for more
            kernel=share.kernel,
            position=share.position,
            is_block=is_block,
            coinbase=coinbase,
        )

    def close(self) -> None:
        """Write what is waiting."""
        self._disk.shutdown()
