"""The fallback of a run at nodes: while none of them is usable, the same engines mine at a pool.

The coordinator knows nothing of it, so its events replay as always. Jobs of pools have ids from FIRST_POOL_JOB on, and
shares are told apart by them: those of pools come here, all others go to the coordinator, also while a pool is mined
at. Solo work never waits: its next job replaces the pool's in the engines like any other, and is noticed here
afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from solominer.chain.networks import Network
from solominer.daemon.deadline import LAST_ANSWERS_SECS
from solominer.daemon.pool_status import of_job, of_pools
from solominer.daemon.pool_work import PoolWork
from solominer.engines.cpu.plan_monitor import Alert
from solominer.views.snapshot import Snapshot
from solominer.views.text import duration
from solominer.work.actions import Severity
from solominer.work.coordinator import Coordinator
from solominer.work.events import Event, HashRate, PolicyChanged, ShareFound
from solominer.work.job import Job

FIRST_POOL_JOB = 1 << 40
"""Ids of our own jobs count up from 1, by a thousand more for each restart."""

PATIENCE_SECS = 10.0
"""How long there is no work before a pool is connected: a node that is restarted is often back by then."""

LAST_SHARES_SECS = 2.0
"""How long shares of the workers' last slices are waited for."""

LOOK_SECS = 0.1


class Fallback:
    """See the module. `work` has jobs from FIRST_POOL_JOB on; nothing but this class runs its pools."""

    def __init__(self, work: PoolWork, coordinator: Coordinator, alarm: Alert) -> None:
        self.work = work
        work.is_wanted = lambda: self.is_on
        self._begun = False
        self._coordinator, self._alarm = coordinator, alarm
        self._solo_job: Job | None = None
        self._idle_since: float | None = None
        self._began = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the engines mine at the pool, or wait for it."""
        return self._begun and not self._is_over()

    @property
    def status(self) -> str:
        """What the run is doing while this is on, as text."""
        what = "mining at a fallback pool" if self.work.miner.working else "waiting for a fallback pool"
        return f"{what}, as no node is healthy"

    def takes(self, event: Event) -> bool:
        """Whether this event is a pool's share, which is not for the coordinator; hash rate and policy are for both."""
        if isinstance(event, PolicyChanged) or (isinstance(event, HashRate) and self.is_on):
            self.work.post(event)
        if not isinstance(event, ShareFound) or event.job_id < FIRST_POOL_JOB:
            return False
        self.work.post(event)
        return True

    async def run(self) -> NoReturn:
        """Watch the coordinator until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.work.run(), name="events of the fallback pool")
            while True:
                await _until(self._is_due)
                await self._mine(group)

    async def _mine(self, group: asyncio.TaskGroup) -> None:
        """Mine at the pool until there is solo work again, or none is wanted."""
        self._begin()
        pools = group.create_task(self.work.pools.run(), name="fallback pool")
        await _until(self._is_over)
        self._end()
        await asyncio.sleep(LAST_SHARES_SECS)
        await self.work.settle(LAST_ANSWERS_SECS)
        pools.cancel()
        await asyncio.wait([pools])

    def _is_due(self) -> bool:
        """Whether there was no usable node and no work for PATIENCE_SECS."""
        machine = self._coordinator
        if machine.working or machine.nodes.lost_at is None:
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or time.monotonic()
        return self._is_wanted and time.monotonic() - self._idle_since >= PATIENCE_SECS

    def _is_over(self) -> bool:
        return self._coordinator.job is not self._solo_job or not self._is_wanted

    @property
    def _is_wanted(self) -> bool:
        return not (self._coordinator.halted_by or self._coordinator.enough)

    def _begin(self) -> None:
        self._begun, self._began, self._solo_job = True, time.monotonic(), self._coordinator.job
        self.work.miner.release()
        self._alarm(
            Severity.MEDIUM,
            "fallback-pool",
            f"no node is healthy: mining at the fallback pool {self._urls}, to which found blocks belong",
            "check your nodes with `solominer doctor`; solo work resumes by itself",
        )

    def _end(self) -> None:
        self._begun = False
        self.work.miner.hold()
        self.work.count_hashes()
        spent = duration(time.monotonic() - self._began)
        why = "solo work again" if self._is_wanted else "work stopped"
        self._alarm(Severity.INFO, "fallback-pool", f"{why} after {spent} at the fallback pool {self._urls}", "")

    @property
    def _urls(self) -> str:
        return ", ".join(seat.pool.url for seat in self.work.pools.seats)

    def shown(self, snapshot: Snapshot, network: Network) -> Snapshot:
        """The state of the run with the pool's work, if it is on."""
        snapshot = replace(snapshot, shares=snapshot.shares + self.work.miner.shares)
        if not self.is_on:
            return snapshot
        if self.work.miner.working:
            snapshot = replace(snapshot, **of_job(self.work, network))
        return replace(snapshot, status=self.status, pools=of_pools(self.work))


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(LOOK_SECS)
