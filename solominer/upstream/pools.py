"""Several pools, the preferred one first. The first that gives jobs is mined at; others only while it does not.

Each pool has a task that connects again and again. A pool is wanted while all before it are bad: their last connection
ended, or never gave a job. So a failover takes as long as noticing the failure, and the first pool gets the work back
with its first job.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import NoReturn, Protocol

from solominer.chain.target import difficulty as difficulty_of
from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment
from solominer.engines.stratum.client import Refusal
from solominer.errors import PoolError
from solominer.upstream.connection import Patience, PoolConnection
from solominer.upstream.submit import Answered, Sent, Submissions
from solominer.upstream.talk import Redirect, may_redirect

log = logging.getLogger("solominer.upstream.pools")

MAX_JOBS = 200
"""Jobs that a pool may send within JOBS_SECS; one that sends more is left."""
JOBS_SECS = 10.0
MESSAGE_SECS = 10.0
"""A pool's messages are logged at most so often."""

SUGGEST_FACTOR = 4.0
"""Another difficulty is suggested if the pool's is off by more than this."""

MAX_REDIRECTS = 5
MAX_REDIRECT_SECS = 10.0
STEADY_SECS = 60.0
"""After so long with jobs the next attempts begin without a delay again."""


class Standing(StrEnum):
    """Whether a pool gives jobs."""

    TRYING = "trying"
    GOOD = "good"
    BAD = "bad"


class PoolUser(Protocol):
    """Who mines at the pools."""

    def pool_job(self, pool: PoolConfig, assignment: Assignment) -> int:
        """A job of the pool that is mined at; returns its height. Raises BadValue if it cannot be mined."""

    def pool_answered(self, pool: PoolConfig, answered: Answered) -> None:
        """A share was answered."""

    def pool_lost(self, pool: PoolConfig, error: PoolError, *, is_news: bool) -> None:
        """A pool gives no jobs any more, or none yet; it is no news if the last attempt ended for the same reason."""


class Seat:
    """One pool, over all its connections: what it did, and the state of its session. `before` are the better ones."""

    def __init__(
        self,
        pool: PoolConfig,
        before: Sequence[Seat],
        patience: Patience,
        user: PoolUser,
        changed: Callable[[], None],
    ) -> None:
        self.pool, self._before = pool, before
        self.standing = Standing.TRYING
        self.problem = ""
        self.submissions = Submissions(partial(user.pool_answered, pool))
        self.difficulty = 0.0
        self.message = ""
        self._message_at = float("-inf")
        self._jobs, self._jobs_since = 0, 0.0
        self._suggested = self._told_harder = False
        self.connection: PoolConnection | None = None
        self._patience, self._user, self._changed = patience, user, changed
        self._session_id = ""
        self._height = 0
        self._behind_since: float | None = None
        self._good_since = 0.0
        self._failures = 0
        self._reported = ""

    @property
    def is_wanted(self) -> bool:
        """Whether no better pool gives jobs or may be about to."""
        return all(seat.standing is Standing.BAD for seat in self._before)

    @property
    def is_outdone(self) -> bool:
        """Whether a better pool gives jobs."""
        return any(seat.standing is Standing.GOOD for seat in self._before)

    # What the connection says

    def logged_in(self) -> None:
        """Hand in again what was not answered."""
        assert self.connection is not None
        talk, self._suggested = self.connection.talk, False
        self._session_id = talk.session_id
        for line in self.submissions.resumed(talk, _now()):
            self.connection.send(line)

    def job(self, assignment: Assignment) -> None:
        """Pass it on; the first one makes the pool good."""
        self._check_pace()
        if self.is_outdone:  # this connection is about to be closed
            return
        self.difficulty = assignment.difficulty
        self._note_harder_than_a_block(assignment)
        self._check_height(self._user.pool_job(self.pool, assignment))
        if self.standing is not Standing.GOOD:
            self.standing, self.problem, self._reported = Standing.GOOD, "", ""
            self._good_since = _now()
            log.info("mining at %s as %s", self.pool.url, self.pool.user)
            self._changed()

    def answered(self, request_id: int, refusal: Refusal | None) -> None:
        """Pass it on; a pool that refuses most shares is left."""
        found = self.submissions.answered(request_id, refusal, _now())
        if found is not None:
            self._user.pool_answered(self.pool, found)
        if complaint := self.submissions.complaint:
            raise Unfit(f"{self.pool.url}: {complaint}")

    def told(self, text: str) -> None:
        """Show it."""
        if text and text != self.message and _now() - self._message_at >= MESSAGE_SECS:
            self.message, self._message_at = text, _now()
            log.info("%s says: %s", self.pool.url, text)

    def suggest(self, difficulty: float, hps: float) -> None:
        """Suggest a share difficulty, once for each connection, if the pool's is far from it."""
        is_off = not 1 / SUGGEST_FACTOR <= difficulty / self.difficulty <= SUGGEST_FACTOR
        if self.connection is not None and self.connection.is_ready and is_off and not self._suggested:
            self._suggested = True
            self.connection.send(self.connection.talk.suggest(difficulty, hps))

    def _note_harder_than_a_block(self, assignment: Assignment) -> None:
        """Say once that hardly a share will go to this pool: usual on a test network, a fault on mainnet."""
        if assignment.share_target < assignment.network_target and not self._told_harder:
            self._told_harder = True
            asked, block = assignment.difficulty, difficulty_of(assignment.network_target)
            text = "%s asks for shares of difficulty %g, harder than a block (%g): only blocks go to it"
            log.warning(text, self.pool.url, asked, block)

    def _check_pace(self) -> None:
        now = _now()
        if now - self._jobs_since >= JOBS_SECS:
            self._jobs, self._jobs_since = 0, now
        self._jobs += 1
        if self._jobs > MAX_JOBS:
            raise Unfit(f"{self.pool.url}: it sent more than {MAX_JOBS} jobs in {JOBS_SECS:g} s")

    def _check_height(self, height: int) -> None:
        """Note a pool that goes back, and leave it if it stays there: its work is stale."""
        if height >= self._height:
            self._height, self._behind_since = height, None
            return
        now = _now()
        if self._behind_since is None:
            self._behind_since = now
            log.warning("%s went back from height %d to %d", self.pool.url, self._height, height)
        elif now - self._behind_since >= self._patience.silence_secs:
            best, self._height, self._behind_since = self._height, 0, None
            raise Unfit(f"{self.pool.url}: stale work: it stays at height {height} after {best}")

    # Its connections

    async def connect(self) -> NoReturn:
        """Connect, and follow redirects. Raises PoolError when the connection has ended."""
        place = self.pool.place
        for _ in range(MAX_REDIRECTS + 1):
            self.connection = PoolConnection(self.pool, self._patience, self, place=place, session_id=self._session_id)
            try:
                await self.connection.run()
            except Redirect as redirect:
                place = self._redirected(redirect, place)
                await asyncio.sleep(min(redirect.wait_secs, MAX_REDIRECT_SECS))
            finally:
                self.submissions.lost()
        raise PoolError(f"{self.pool.url}: it redirects more than {MAX_REDIRECTS} times")

    def _redirected(self, redirect: Redirect, place: tuple[str, int]) -> tuple[str, int]:
        host, port = redirect.host or place[0], redirect.port or place[1]
        if not may_redirect(self.pool.place[0], host):
            raise PoolError(
                f"{self.pool.url}: it redirects to {host}, which is not of its domain",
                "if that is right, write that host into `pools`",
            )
        log.info("%s redirects to %s:%d", self.pool.url, host, port)
        return host, port

    def ended(self, error: PoolError, *, alone: bool) -> float:
        """The connection has ended; returns the seconds to wait before the next. `alone`: there is no other pool."""
        was_steady = self.standing is Standing.GOOD and _now() - self._good_since >= STEADY_SECS
        self.standing, self.problem = Standing.BAD, error.what.removeprefix(f"{self.pool.url}: ")
        self._failures = 0 if was_steady else self._failures
        patience = self._patience
        wait_secs: float = min(patience.first_retry_secs * 2 ** min(self._failures, 30), patience.most_retry_secs)
        self._failures += 1
        if isinstance(error, Unfit) and not alone:
            wait_secs = max(wait_secs, patience.rest_secs)
        self._user.pool_lost(self.pool, error, is_news=error.what != self._reported)
        self._reported = error.what
        self._changed()
        return wait_secs * random.uniform(0.5, 1.0)

    def unwanted(self) -> None:
        """A better pool is back."""
        log.info("leaving %s: a pool before it gives jobs again", self.pool.url)
        self.standing, self._failures = Standing.TRYING, 0


class Unfit(PoolError):
    """The pool contradicts itself or refuses our work: it is left alone for a while."""


class Pools:
    """See the module. `user` hears of jobs and answers; `patience` says how long is waited."""

    def __init__(self, pools: Sequence[PoolConfig], user: PoolUser, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._news: list[asyncio.Event] = []
        self.seats: list[Seat] = []
        for pool in pools:
            self.seats.append(Seat(pool, tuple(self.seats), self._patience, user, self._changed))

    @property
    def current(self) -> Seat | None:
        """The pool that is mined at: the first good one."""
        return next((seat for seat in self.seats if seat.standing is Standing.GOOD), None)

    def suggest(self, difficulty: float, hps: float) -> None:
        """Suggest a share difficulty for a hash rate to the current pool."""
        if self.current is not None:
            self.current.suggest(difficulty, hps)

    @property
    def waiting(self) -> int:
        """Shares that wait for an answer, and blocks that could not be sent yet."""
        return sum(seat.submissions.waiting for seat in self.seats)

    def end(self) -> None:
        """Give up what has no answer."""
        for seat in self.seats:
            seat.submissions.end(_now())

    async def run(self) -> None:
        """Connect until cancelled."""
        async with asyncio.TaskGroup() as group:
            for seat in self.seats:
                group.create_task(self._keep(seat), name=f"pool {seat.pool.url}")

    def submit(self, pool: PoolConfig, sent: Sent) -> None:
        """Send a share to the pool whose job it is, or keep it until its session resumes."""
        seat = next(seat for seat in self.seats if seat.pool is pool)
        connection = seat.connection
        if connection is not None and connection.is_ready:
            connection.send(seat.submissions.send(connection.talk, sent))
        else:
            seat.submissions.keep(sent)

    async def _keep(self, seat: Seat) -> NoReturn:
        while True:
            await self._until(lambda: seat.is_wanted)
            connecting = asyncio.create_task(seat.connect())
            unwanted = asyncio.create_task(self._until(lambda: seat.is_outdone))
            try:
                await asyncio.wait([connecting, unwanted], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (connecting, unwanted):
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([connecting, unwanted])
            if connecting.cancelled():
                seat.unwanted()
                continue
            error = connecting.exception()
            if not isinstance(error, PoolError):
                log.error("%s: the connection failed unexpectedly", seat.pool.url, exc_info=error)
                error = Unfit(f"{seat.pool.url}: an internal error", "report this with the log")
            await asyncio.sleep(seat.ended(error, alone=len(self.seats) == 1))

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Wait until this holds; looked at whenever a standing changes."""
        news = asyncio.Event()
        self._news.append(news)
        try:
            while not holds():
                news.clear()
                await news.wait()
        finally:
            self._news.remove(news)

    def _changed(self) -> None:
        for news in self._news:
            news.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
