"""Miners beside a node: a Stratum server that gives them the head's jobs. Their shares go the way of the node's own.

A miner's share that meets the head's share target goes to the head, and its answer waits until it is on this disk or on
the server's. All of its accepted shares, also those, count as credited hashes in the node's beats.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from solominer.chain.networks import Network
from solominer.chain.transaction import parse_transaction
from solominer.engines.cluster.messages import ShareMessage
from solominer.engines.pool.worker_job import WorkerJob
from solominer.engines.stratum.assignment import height_of
from solominer.engines.stratum.engine import StratumEngine, StratumSettings
from solominer.engines.stratum.miners import NAME
from solominer.engines.stratum.work import PoolCoinbase, Work, split_of
from solominer.errors import BadValue, PayoutError
from solominer.work.events import Event, ShareFound, WorkerDied
from solominer.work.instant import Clock
from solominer.work.payout import Payout
from solominer.work.ports import Post
from solominer.work.template import Template, empty_template
from solominer.work.workers import (
    EXTRANONCE1_SIZE,
    EXTRANONCE2_SIZE,
    EngineSnapshot,
    ExtranonceRange,
    WorkerId,
    WorkerSnapshot,
)

STOP_SECS = 5.0
_SPLIT = split_of(EXTRANONCE2_SIZE)
_CONNECTIONS = ExtranonceRange(0, 1 << 8 * _SPLIT.connections)
_RUN_BYTES = 8

log = logging.getLogger(__name__)

HandIn = Callable[[ShareMessage, WorkerJob], None]
"""Takes a share and the job that it is of."""


class FrontEnd:
    """The Stratum server of a node; `settings` are those of a server at a pool: its work brings its coinbase."""

    def __init__(self, settings: StratumSettings, network: Network, clock: Clock) -> None:
        self._engine = StratumEngine(replace(settings, at_a_pool=True), clock, ask=_pays_nobody)
        self._network = network
        self._hand_in: HandIn = lambda share, job: None
        self._post: Post = lambda event: None
        self._number = 0
        self._origin = b""
        self._waiting: dict[str, bytes] = {}

    # Life

    async def start(self, hand_in: HandIn, post: Post) -> None:
        """Open all listeners; `post` takes what becomes of the server. Raises EngineError if one cannot be opened."""
        self._hand_in, self._post = hand_in, post
        await self._engine.start(self._take, _CONNECTIONS)
        newest = self._engine.newest_work
        self._number = newest.work_id if newest is not None else 0

    async def run(self) -> None:
        """Start its process again whenever it ends."""
        await self._engine.run()

    async def stop(self) -> None:
        """Close all connections; the last shares are handed in and answered."""
        await self._engine.stop(STOP_SECS)

    # Work

    def search(self, run: int, job: WorkerJob) -> None:
        """Give miners this job of that run; its extranonce1 is theirs alone. Raises BadValue for a broken coinbase."""
        origin = run.to_bytes(_RUN_BYTES) + job.pack()
        if origin == self._origin:  # told again, with another intensity
            return
        template = _template_of(job, self._network)
        self._number += 1
        self._engine.give(_work_of(job, self._number, template, origin), template)
        self._origin = origin

    def stop_work(self) -> None:
        """Give nothing more until there is a job; miners that wait for too long are sent away."""
        self._origin = b""
        self._engine.stop_work()

    # Shares

    def saved(self, share: ShareMessage) -> None:
        """It is on a disk: its miner may hear that it is accepted."""
        hash_le = self._waiting.pop(share.message_id, None)
        if hash_le is not None:
            self._engine.block_saved(hash_le)

    def _take(self, event: Event) -> None:
        match event:
            case ShareFound():
                self._share(event)
            case WorkerDied():
                self._post(event)

    def _share(self, found: ShareFound) -> None:
        work = self._engine.work(found.job_id)
        if work is None or work.pool is None:
            log.warning("miner %s found a share of a job that is forgotten", found.worker.name)
            return
        job = WorkerJob.unpack(work.origin[_RUN_BYTES:])
        extranonce = work.pool.prefix[-EXTRANONCE1_SIZE:] + found.extranonce
        share = ShareMessage.of(found, int.from_bytes(work.origin[:_RUN_BYTES]), job.job_id, extranonce)
        self._waiting[share.message_id] = share.header(job).hash_le()
        self._hand_in(share, job)

    def snapshot(self) -> EngineSnapshot:
        """The server, which has no name, and its miners."""
        seen = self._engine.snapshot()
        server = WorkerSnapshot(WorkerId(NAME, ""), "idle", kernel="Stratum server")
        return replace(seen, workers=(server, *seen.workers))


async def _pays_nobody(address: str) -> Payout:
    raise PayoutError(f"{address} cannot be paid here: blocks pay whom the head of the cluster pays")


def _template_of(job: WorkerJob, network: Network) -> Template:
    """What a node knows of the head's template: all but its transactions."""
    coinbase = parse_transaction(job.coinbase_prefix + job.extranonce(0) + job.coinbase_suffix)
    height = height_of(coinbase.inputs[0].script_sig)
    if height is None:
        raise BadValue(f"job {job.job_id} has a coinbase that does not begin with the height")
    return empty_template(
        network,
        height=height,
        prevhash_le=job.prevhash_le,
        version=job.space.version,
        version_mask=job.space.version_mask,
        nbits=job.nbits,
        curtime=job.space.ntime_min,
        mintime=job.space.ntime_min,
    )


def _work_of(job: WorkerJob, number: int, template: Template, origin: bytes) -> Work:
    """The job for miners: behind the extranonce1 of this front end they differ in what the node's workers search."""
    space = job.space
    prefix = job.coinbase_prefix + job.extranonce_prefix[:EXTRANONCE1_SIZE]
    return Work(
        work_id=number,
        height=template.height,
        prevhash_le=job.prevhash_le,
        version=space.version,
        version_mask=space.version_mask,
        nbits=job.nbits,
        ntime=space.ntime_min,
        ntime_min=space.ntime_min,
        ntime_max=space.ntime_max,
        coinbase_value=template.coinbase_value,
        commitment=template.commitment,
        merkle_branch=job.merkle_branch,
        notable_target_le=job.share_target.to_bytes(32, "little"),
        pool=PoolCoinbase(prefix, job.coinbase_suffix, _SPLIT),
        origin=origin,
    )
