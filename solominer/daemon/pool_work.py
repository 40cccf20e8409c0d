"""Mining at pools: engines get the pools' jobs, what they find is recorded and goes to the pools.

A run at pools does nothing else; a run at nodes does it as its fallback.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from solominer.chain.networks import Network
from solominer.chain.target import DIFFICULTY_1_TARGET, expected_hashes
from solominer.config.pools import PoolConfig
from solominer.daemon.event_queue import EventQueue
from solominer.daemon.hash_counts import HashCounts
from solominer.daemon.host_metrics import now
from solominer.engines.cpu.plan_monitor import Alert
from solominer.engines.engine_set import EngineSet
from solominer.records.recorder import Recorder
from solominer.upstream.connection import Patience
from solominer.upstream.miner import PoolMiner
from solominer.upstream.pools import Pools
from solominer.work.actions import Action, Alarm, PublishJob, Record, ShareSeen, StopWork
from solominer.work.events import Event, HashRate
from solominer.work.job import Job
from solominer.work.policy import Policy
from solominer.work.ports import ShareObserver
from solominer.work.workers import WorkerId

log = logging.getLogger("solominer.daemon.daemon")


class PoolWork:
    """See the module. `sharing` engines divide a pool's extranonce; `first_id` is the id of the first job.

    A job of our own that the engines have is neither replaced nor stopped, and no job is published unless `is_wanted`.
    `changed` is set after every event.
    """

    def __init__(
        self,
        network: Network,
        pools: Sequence[PoolConfig],
        policy: Policy,
        engines: EngineSet,
        recorder: Recorder,
        observer: ShareObserver,
        alert: Alert,
        *,
        sharing: int,
        first_id: int = 1,
        patience: Patience | None = None,
    ) -> None:
        self._engines, self._recorder, self._observer, self._alert = engines, recorder, observer, alert
        self._queue = EventQueue()
        self._parent_le = b""
        self.is_wanted: Callable[[], bool] = lambda: True
        self.count_hashes = HashCounts(engines, self._queue, recorder, now).record
        self.changed = asyncio.Event()
        self.miner = PoolMiner(
            network,
            policy,
            int.from_bytes(os.urandom(4)),
            self._do,
            lambda pool, sent: self.pools.submit(pool, sent),
            now,
            engines=sharing,
            first_id=first_id,
        )
        self.pools = Pools(pools, self.miner, patience)

    def post(self, event: Event) -> None:
        """Queue an event of the engines or the governor. A hash rate becomes the difficulty that suits it."""
        if not isinstance(event, HashRate):
            self._queue.put(event)
        elif event.hps:
            hashes_per_share = event.hps * 3600.0 / self.miner.policy.shares_per_hour
            self.pools.suggest(hashes_per_share / expected_hashes(DIFFICULTY_1_TARGET), event.hps)

    async def run(self) -> NoReturn:
        """Handle events until cancelled."""
        while True:
            self.miner.handle(await self._queue.get())
            self.changed.set()

    async def settle(self, timeout_secs: float) -> None:
        """Wait until what was found is handed in and answered, at most `timeout_secs`."""
        deadline = time.monotonic() + timeout_secs
        while (len(self._queue) or self.pools.waiting) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def end(self, timeout_secs: float) -> None:
        """Settle, and give up what has no answer then; an alarm names each block of that."""
        await self.settle(timeout_secs)
        self.pools.end()

    # --- actions -------------------------------------------------------------------------------------------------

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case PublishJob(job):
                    self._publish(job)
                case StopWork(reason):
                    self._stop_work(reason)
                case ShareSeen():
                    self._recorder.share(action, self._observer.share(action))
                case Record(kind, fields):
                    if kind == "share_duplicate":
                        self._observer.repeated(WorkerId.parse(fields["worker"]))
                    if kind == "pool_block":
                        log.info("BLOCK FOUND for %(pool)s at height %(height)d: %(hash)s, worker %(worker)s", fields)
                    self._recorder.record(now().wall, kind, fields)
                case Alarm(severity, code, message, todo):
                    self._alert(severity, code, message, todo)
                case _:
                    raise TypeError(f"no action of mining at pools: {type(action).__name__}")

    def _publish(self, job: Job) -> None:
        if self._is_solo or not self.is_wanted():
            return
        clean = job.template.prevhash_le != self._parent_le
        self._parent_le = job.template.prevhash_le
        if self._engines.publish(job, clean=clean):
            self.count_hashes()
        self._observer.published(job)
        self._recorder.job(now().wall, job)
        log.info("mining %s", job.describe())
        self.changed.set()

    def _stop_work(self, reason: str) -> None:
        if not self._is_solo:
            self._engines.stop_work()
            log.debug("work stopped: %s", reason)

    @property
    def _is_solo(self) -> bool:
        return self._engines.job is not None and not self._engines.job.pool
