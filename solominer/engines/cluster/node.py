"""A node: worker pools, and miners at a front end, that search what the head of a cluster publishes. It needs no
bitcoind and no configuration.

It hashes on while head or server are away, as long as its job is valid, keeps shares until the server has them, and
takes the newest job only, whatever it has missed. It trusts nobody with the payout (`payout_check`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError

from solominer import __version__
from solominer.chain.hashes import to_rpc_hex
from solominer.engines.cluster import subjects
from solominer.engines.cluster.connection import LOST, connect, end
from solominer.engines.cluster.front_end import FrontEnd
from solominer.engines.cluster.join_file import JoinFile, inbox_prefix
from solominer.engines.cluster.messages import (
    INCARNATION_SIZE,
    Beat,
    JobMessage,
    JoinRequest,
    Lease,
    Notice,
    Refusal,
    ShareMessage,
    answer_to_join,
    own_job,
)
from solominer.engines.cluster.node_counts import NodeCounts
from solominer.engines.cluster.payout_check import check_payout
from solominer.engines.cluster.spool import Spool
from solominer.engines.cluster.streams import newest_job
from solominer.engines.pool.pool import WorkerPool
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import DecodeError, EngineError, PayoutError
from solominer.work.events import Event, ShareFound, WorkerDied, WorkerStarted, WrongHit
from solominer.work.instant import Clock
from solominer.work.job import SEARCHED_SIZE
from solominer.work.workers import ExtranonceRange, WorkerSnapshot

JOIN_SECS = 1.0
SEND_SECS = 2.0
RESEND_SECS = 1.0
CATCH_UP_SECS = 1.0
_JOBS_KEPT = 256

log = logging.getLogger(__name__)


class Node:
    """One process on a machine: `pools` and `front` are its engines. `drained` is set when the head wants it to end.

    Each engine has an extranonce1 of the lease for itself, in this order.
    """

    def __init__(
        self,
        join: JoinFile,
        pools: Sequence[WorkerPool],
        spool: Spool,
        clock: Clock,
        front: FrontEnd | None = None,
    ) -> None:
        self.join = join
        self.pools, self.front = pools, front
        self._engines: list[WorkerPool | FrontEnd] = [*pools, *([front] if front is not None else [])]
        self.spool = spool
        self.drained = asyncio.Event()
        self.message: JobMessage | None = None
        """The newest of the head."""
        self.is_searching = False
        self._clock = clock
        self.delivered = self.blocks = 0
        """Shares that the server has taken; blocks found."""
        self._incarnation = os.urandom(INCARNATION_SIZE)
        self._lease: Lease | None = None
        self._counts = NodeCounts(self._engines)
        self._heard_at = 0.0
        self._news, self._applied = asyncio.Event(), (0, 0)
        self._intensity = 1.0
        self._client: Client | None = None
        self._jobs: OrderedDict[bytes, tuple[int, WorkerJob]] = OrderedDict()
        self._sending: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = ""

    @property
    def status(self) -> str:
        """What it is doing, in a few words."""
        if self.is_searching and self.message is not None and self.message.job is not None:
            return f"hashing job {self.message.job.job_id}"
        return "waiting for a job" if not self._refused else "refuses to hash, see above"

    @property
    def workers(self) -> list[WorkerSnapshot]:
        """Its workers and miners, while it runs."""
        return self._counts.workers

    # Life

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` or until it is drained. Raises EngineError if an engine cannot start."""
        self.spool.load()
        try:
            if self.front is not None:
                await self.front.start(self._hand_in, self._take)
            for pool in self.pools:
                await pool.start(self._take, ExtranonceRange(0, 1))
            async with asyncio.TaskGroup() as group:
                work = [
                    group.create_task(each)
                    for each in (
                        self._connect(),
                        self._follow(),
                        self._beats(),
                        self._resend(),
                        *(engine.run() for engine in self._engines),
                    )
                ]
                waits = [asyncio.ensure_future(event.wait()) for event in (stop, self.drained)]
                await asyncio.wait([*waits], return_when=asyncio.FIRST_COMPLETED)
                await end((*work, *waits))
        finally:
            await self._end()

    async def _end(self) -> None:
        for engine in reversed(self._engines):
            await engine.stop()  # their last shares come
        with suppress(TimeoutError):
            async with asyncio.timeout(SEND_SECS):
                await asyncio.gather(*self._tasks, return_exceptions=True)
        for task in tuple(self._tasks):
            task.cancel()
        if self._client is not None:
            if self._lease is not None:
                await self._beat(self._client, Beat(self._lease.run, self._incarnation, self._lease.first, ()))
            await self._client.close()
        self.spool.close()

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # The connection

    async def _connect(self) -> None:
        there = asyncio.Event()

        async def back() -> None:
            there.set()

        join = self.join
        tls = join.tls_context()
        client = await connect(join.servers, join.node, tls=tls, inbox=inbox_prefix(join.node), back=back)
        await client.subscribe(subjects.JOB, cb=self._heard_job)
        await client.subscribe(subjects.notice_subject(join.node), cb=self._heard_notice)
        self._client = client
        while True:
            await there.wait()
            there.clear()
            for share in self.spool.waiting:
                self._send_soon(share)
            await self._catch_up(client)
            await asyncio.sleep(CATCH_UP_SECS)
            await self._catch_up(client)

    async def _catch_up(self, client: Client) -> None:
        """Read the newest job, which may have been published before the connection.

        The server takes a while to store it, so a job of the moment before is found the second time only.
        """
        try:
            message = await newest_job(client)
        except (*LOST, APIError) as error:
            log.debug("the newest job cannot be read: %s", error)
            return
        if message is not None:
            self._hear(message)

    # Jobs

    async def _heard_job(self, message: Msg) -> None:
        try:
            self._hear(JobMessage.unpack(message.data))
        except DecodeError as error:
            self._refuse(f"the head's jobs cannot be read: {error}")

    def _hear(self, message: JobMessage) -> None:
        if self.message is None or message.order > self.message.order:
            self.message, self._heard_at = message, time.monotonic()
            self._news.set()

    async def _heard_notice(self, message: Msg) -> None:
        try:
            notice = Notice.unpack(message.data)
        except DecodeError as error:
            log.warning("a notice of the head cannot be read: %s", error)
            return
        if notice is Notice.DRAIN:
            log.info("the head wants this node to end")
            self.drained.set()

    async def _follow(self) -> None:
        """Do what the newest message says; between two runs, get a lease of the new one first."""
        while True:
            await self._news.wait()
            self._news.clear()
            message = self.message
            if message is None or message.order == self._applied:
                continue
            if message.job is None:
                self._stop()
            elif self._lease is None or self._lease.run != message.run:
                if not await self._ask_to_join():
                    await asyncio.sleep(JOIN_SECS)
                self._news.set()
                continue
            else:
                self._search(message, self._lease)
            self._applied = message.order

    def _stop(self) -> None:
        self.is_searching = False
        for engine in self._engines:
            engine.stop_work()

    def _search(self, message: JobMessage, lease: Lease) -> None:
        job = message.job
        if job is None:
            return
        try:
            check_payout(job, self.join.payout_scripts)
            space = ExtranonceRange(lease.first, lease.count)
            if self.front is not None:
                self.front.search(message.run, own_job(job, space.nth(len(self.pools))))
            for index, pool in enumerate(self.pools):
                own = own_job(job, space.nth(index))
                self._jobs[own.extranonce_prefix] = message.run, own
                if message.intensity != self._intensity:
                    pool.set_intensity(message.intensity)
                pool.search(own)
        except (PayoutError, EngineError, DecodeError) as error:
            self._refuse(str(error))
            self._stop()
            return
        while len(self._jobs) > _JOBS_KEPT:
            self._jobs.popitem(last=False)
        self._intensity = message.intensity
        self.is_searching, self._refused = True, ""

    def _refuse(self, text: str) -> None:
        if text != self._refused:
            log.error("this node does not hash: %s", text)
        self._refused = text

    async def _ask_to_join(self) -> bool:
        """Whether the head dealt a lease."""
        client, join = self._client, self.join
        if client is None:
            return False
        request = JoinRequest(self._incarnation, join.network, f"solominer {__version__} on {socket.gethostname()}")
        try:
            reply = await client.request(subjects.JOIN, request.pack(), timeout=JOIN_SECS)
            answer = answer_to_join(reply.data)
        except LOST:  # the head is away
            return False
        except DecodeError as error:
            answer = Refusal(str(error))
        if isinstance(answer, Refusal):
            self._refuse(f"the head refuses it: {answer.reason}")
            return False
        if answer.network != join.network or answer.count < len(self._engines):
            self._refuse(f"the head's lease is for {answer.network}, {answer.count} engines")
            return False
        self._lease = answer
        self._counts.begin()
        log.info("joined the cluster as %s", join.node)
        return True

    # Shares

    def _take(self, event: Event) -> None:
        """What the pools post."""
        match event:
            case ShareFound():
                self._share(event)
            case WorkerStarted(worker=worker, kernel=kernel):
                log.info("worker %s hashes with %s", worker, kernel)
            case WorkerDied(worker=worker, reason=reason, restart_secs=secs):
                again = "it stays off" if secs is None else f"started again in {secs:g} s"
                log.warning("worker %s ended: %s; %s", worker, reason, again)
            case WrongHit(worker=worker, kernel=kernel, count=count):
                log.warning("kernel %s of worker %s reported a wrong hit, number %d", kernel, worker, count)

    def _share(self, found: ShareFound) -> None:
        known = self._jobs.get(found.extranonce[:-SEARCHED_SIZE])
        if known is None:
            log.warning("worker %s found a share of a job that is forgotten", found.worker)
            return
        run, job = known
        self._hand_in(ShareMessage.of(found, run, found.job_id, found.extranonce), job)

    def _hand_in(self, share: ShareMessage, job: WorkerJob) -> None:
        """Keep a share of this job, and send it."""
        is_new = share.message_id not in self.spool
        if not is_new and not share.is_awaited:  # a worker that was restarted found it again
            return
        to_sync = self.spool.add(share)
        self._send_soon(share)
        if share.is_block and is_new:
            self.blocks += 1
            hash_hex, parent_hex = to_rpc_hex(share.header(job).hash_le()), to_rpc_hex(job.prevhash_le)
            log.info("BLOCK FOUND: %s on %s, worker %s", hash_hex, parent_hex, share.worker)
        if to_sync is not None:
            self._go(self._sync(to_sync, share))
        elif not self.spool.is_failing:
            self._saved(share)

    async def _sync(self, handle: int, share: ShareMessage) -> None:
        try:
            await asyncio.to_thread(os.fsync, handle)
        except OSError as error:
            log.error("a share cannot be synced to the disk: %s -> is it full, or does it fail?", error.strerror)
        else:
            self._saved(share)

    def _saved(self, share: ShareMessage) -> None:
        if self.front is not None and share.is_awaited:
            self.front.saved(share)

    def _send_soon(self, share: ShareMessage) -> None:
        if share.message_id not in self._sending:
            self._sending.add(share.message_id)
            self._go(self._send(share))

    async def _send(self, share: ShareMessage) -> None:
        """Send it; when the server has it on its disk, forget it."""
        name = share.message_id
        try:
            if self._client is not None:
                await self._client.jetstream().publish(
                    subjects.share_subject(self.join.node),
                    share.pack(),
                    timeout=SEND_SECS,
                    headers={"Nats-Msg-Id": name},
                )
                self.spool.done(name)
                self.delivered += 1
                self._saved(share)
        except (*LOST, APIError) as error:  # `_resend` tries again
            log.debug("share %s was not taken: %s", name, error or type(error).__name__)
        finally:
            self._sending.discard(name)

    async def _resend(self) -> None:
        while True:
            await asyncio.sleep(RESEND_SECS)
            if self._client is not None and self._client.is_connected:
                for share in self.spool.waiting:
                    self._send_soon(share)

    # Beats

    async def _beats(self) -> None:
        """Tell the head what the workers did, as often as it wants; stop when it has been silent for too long."""
        while True:
            lease = self._lease
            await asyncio.sleep(lease.beat_secs if lease else subjects.BEAT_SECS)
            self._check_age()
            if lease is None or self._client is None:
                continue
            await self._beat(self._client, self._counts.beat(lease, self._incarnation))

    async def _beat(self, client: Client, beat: Beat) -> None:
        with suppress(*LOST):
            await client.publish(subjects.beat_subject(self.join.node), beat.pack())

    def _check_age(self) -> None:
        message = self.message
        if self.is_searching and message is not None and time.monotonic() - self._heard_at > message.valid_secs:
            log.warning("no news of the head for %d s: this node stops until there are", message.valid_secs)
            self._stop()
