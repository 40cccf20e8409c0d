"""Mining for pools as a synchronous state machine: jobs, shares and pauses in, actions out. No I/O, no clock.

Every share is hashed again by hashlib before it goes to the pool. Blocks belong to the pool: they are reported, never
submitted to a node.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.header import meets_target
from solominer.chain.networks import Network
from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment
from solominer.errors import BadValue, PoolError
from solominer.upstream.jobs import pool_job
from solominer.upstream.submit import Answered, Outcome, Sent
from solominer.work import notices
from solominer.work.actions import Action, Alarm, PublishJob, Record, Severity, ShareSeen, StopWork
from solominer.work.blocks import BlockTracker
from solominer.work.events import (
    Event,
    PauseWanted,
    PolicyChanged,
    ResumeWanted,
    ShareFound,
    WorkerDied,
    WorkerStarted,
    WrongHit,
)
from solominer.work.instant import Clock, Instant
from solominer.work.job import Job
from solominer.work.judge import SeenHeaders
from solominer.work.policy import Policy

MOST_JOBS = 256
"""Jobs for which shares may still arrive."""

MOST_PARENTS = 4

Submit = Callable[[PoolConfig, Sent], None]


class _Kept(NamedTuple):
    job: Job
    assignment: Assignment
    pool: PoolConfig


class PoolMiner:
    """See the module. `number` begins the salts and differs between runs; `do` executes actions, `submit` sends shares.

    `first_id` is the id of the first job. `blocks` is empty: a pool's blocks are not ours to track.
    """

    def __init__(
        self,
        network: Network,
        policy: Policy,
        number: int,
        do: Callable[[list[Action]], None],
        submit: Submit,
        clock: Clock,
        engines: int = 1,
        first_id: int = 1,
    ) -> None:
        self._engines = engines
        self.policy = policy
        self.blocks = BlockTracker([], policy.retry)
        self.demo_blocks = 0
        self.pool_blocks = 0
        self.halted_by: set[str] = set()
        self.shares = 0
        self.tip_at: Instant | None = None
        self.job_at: Instant | None = None
        self.working = False
        self._network, self._number, self._do, self._submit, self._clock = network, number, do, submit, clock
        self._last_id = first_id - 1
        self._held = False
        self._current: _Kept | None = None
        self._jobs: OrderedDict[int, _Kept] = OrderedDict()
        self._seen: OrderedDict[bytes, SeenHeaders] = OrderedDict()
        self._handlers: dict[type, Callable[[Any], list[Action]]] = {
            ShareFound: self._share_found,
            PauseWanted: self._pause,
            ResumeWanted: self._resume,
            PolicyChanged: self._policy_changed,
            WrongHit: notices.wrong_hit,
            WorkerStarted: notices.worker_started,
            WorkerDied: notices.worker_died,
        }

    @property
    def job(self) -> Job | None:
        """The current job."""
        return self._current.job if self._current else None

    @property
    def tip_le(self) -> bytes:
        """The parent of the current job, in internal order."""
        return self._current.job.template.prevhash_le if self._current else b""

    @property
    def status(self) -> str:
        """What the miner is doing, as text."""
        if self.halted_by:
            return "paused: " + ", ".join(sorted(self.halted_by))
        return "mining" if self.working else "waiting for a pool"

    def hold(self) -> None:
        """Mine at no pool until `release`; shares found before still go there."""
        self._held = True
        self._do(self._stop("held"))

    def release(self) -> None:
        """Mine at the next pool that gives a job."""
        self._held, self._current = False, None

    def handle(self, event: Event) -> None:
        """Handle an event of the engines or the governor."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            self._do(handler(event))

    # --- from the pools ------------------------------------------------------------------------------------------

    def pool_job(self, pool: PoolConfig, assignment: Assignment) -> int:
        """Mine this; returns its height. Raises BadValue if it cannot be mined."""
        at, tip_le = self._clock(), self.tip_le
        self._current = self._make(pool, assignment)
        self.job_at = at
        if self.tip_le != tip_le:
            self.tip_at = at
            self._do([Record("tip", {"hash": to_rpc_hex(self.tip_le), "source": "pool", "node": pool.url})])
        self._do(self._publish())
        return self._current.job.template.height

    def pool_lost(self, pool: PoolConfig, error: PoolError, *, is_news: bool) -> None:
        """A pool gives no jobs: stop if it was mined at. Reported if it is news."""
        actions: list[Action] = []
        if self._current is not None and self._current.pool is pool:
            self._current = None
            actions += self._stop("pool lost")
        if is_news:
            actions += [
                Record("pool_lost", {"pool": pool.url, "reason": error.what}),
                Alarm(
                    Severity.MEDIUM, "pool-lost", error.what, error.todo or "the next pool is tried, and this one again"
                ),
            ]
        self._do(actions)

    def pool_answered(self, pool: PoolConfig, answered: Answered) -> None:
        """Record the answer to a share."""
        sent = answered.sent
        fields = {
            "pool": pool.url,
            "hash": sent.hash_hex,
            "outcome": answered.outcome.value,
            "reason": answered.reason,
            "secs": round(answered.secs, 6),
        }
        actions: list[Action] = [Record("pool_answer", fields)]
        if sent.is_block and answered.outcome is not Outcome.ACCEPTED:
            answer = "nothing" if answered.outcome is Outcome.UNANSWERED else answered.outcome.value
            said = f"{answer}, {answered.reason or 'without a reason'}"
            why = f"{pool.url} answered to block {sent.hash_hex}: {said}"
            actions.append(Alarm(Severity.HIGH, "pool-refused-block", why, "ask the pool; the ledger has the share"))
        self._do(actions)

    # --- jobs ----------------------------------------------------------------------------------------------------

    def _make(self, pool: PoolConfig, assignment: Assignment) -> _Kept:
        self._last_id += 1
        number = self._number + self._last_id
        made = pool_job(
            assignment,
            network=self._network,
            pool=pool.url,
            job_id=self._last_id,
            number=number,
            engines=self._engines,
        )
        kept = self._jobs[made.job_id] = _Kept(made, assignment, pool)
        while len(self._jobs) > MOST_JOBS:
            self._jobs.popitem(last=False)
        return kept

    def _publish(self) -> list[Action]:
        if self.halted_by or self._held or self._current is None:
            return []
        self.working = True
        return [PublishJob(self._current.job)]

    def _stop(self, reason: str) -> list[Action]:
        was_working, self.working = self.working, False
        return [StopWork(reason)] if was_working else []

    def _pause(self, event: PauseWanted) -> list[Action]:
        self.halted_by.add(event.reason)
        return [Record("paused", {"reason": event.reason}), *self._stop("paused: " + event.reason)]

    def _resume(self, event: ResumeWanted) -> list[Action]:
        if event.reason not in self.halted_by:
            return []
        self.halted_by.discard(event.reason)
        if not self.halted_by and self._current is not None:  # with another salt, so that no header is hashed twice
            self._current = self._make(self._current.pool, self._current.assignment)
        return [Record("resumed", {"reason": event.reason}), *self._publish()]

    def _policy_changed(self, event: PolicyChanged) -> list[Action]:
        self.policy = event.policy
        return []

    # --- shares --------------------------------------------------------------------------------------------------

    def _share_found(self, share: ShareFound) -> list[Action]:
        fields = {"worker": str(share.worker), "job": share.job_id}
        kept = self._jobs.get(share.job_id)
        if kept is None:
            return [Record("share_of_unknown_job", fields)]
        job, assignment, pool = kept
        try:
            header = job.header(share.extranonce, share.version, share.ntime, share.nonce)
        except BadValue as error:
            return [Record("share_misses_target", {**fields, "reason": error.what})]
        hash_le = header.hash_le()
        is_block = meets_target(hash_le, job.template.target)
        sent = Sent(share, assignment.at(share.ntime), hash_le, is_block, share.at.mono)
        if sent.header != header:
            return [Record("share_misses_target", {**fields, "reason": "the pool would make another header of it"})]
        if not is_block and not meets_target(hash_le, job.share_target):
            return [Record("share_misses_target", fields)]
        if not self._is_new(job.template.prevhash_le, hash_le):
            return [Record("share_duplicate", {"worker": str(share.worker), "hash": to_rpc_hex(hash_le)})]
        self.shares += 1
        stale = job.template.prevhash_le != self.tip_le
        actions: list[Action] = [ShareSeen(share, job, hash_le, stale)]
        if is_block:
            actions += self._block(job, hash_le, share, pool)
        if is_block or not stale:
            self._submit(pool, sent)
        return actions

    def _is_new(self, parent_le: bytes, hash_le: bytes) -> bool:
        seen = self._seen.setdefault(parent_le, SeenHeaders())
        while len(self._seen) > MOST_PARENTS:
            self._seen.popitem(last=False)
        return seen.add(hash_le)

    def _block(self, job: Job, hash_le: bytes, share: ShareFound, pool: PoolConfig) -> list[Action]:
        self.pool_blocks += 1
        height, hash_hex = job.template.height, to_rpc_hex(hash_le)
        fields = {"pool": pool.url, "height": height, "hash": hash_hex, "worker": str(share.worker)}
        return [Record("pool_block", fields)]
