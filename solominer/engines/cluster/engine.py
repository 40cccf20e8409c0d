"""The head of a cluster as an engine: publishes jobs to nodes, deals their leases, and hands in what they find.

`publish` and `stop_work` only start a task. A job is on the disk before it goes out; the server keeps the newest
message, so a node that comes late or back begins with it. Without its server the head waits for it, nodes go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Set
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from solominer.chain.header import meets_target
from solominer.engines.cluster import subjects
from solominer.engines.cluster.complaints import Complaints
from solominer.engines.cluster.connection import LOST, connect, end
from solominer.engines.cluster.fairness import ACK, Fairness
from solominer.engines.cluster.fence import Fence
from solominer.engines.cluster.judged import Judged
from solominer.engines.cluster.known_jobs import KnownJobs
from solominer.engines.cluster.members import NAME, Members, Note, worker_id
from solominer.engines.cluster.messages import Beat, JobMessage, JoinRequest, Lease, Notice, Refusal, ShareMessage
from solominer.engines.cluster.settings import ClusterSettings
from solominer.engines.cluster.streams import lost_streams, make_streams, newest_job_and_sequence, what_is_wrong
from solominer.engines.cluster.vault import Vault
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import DecodeError
from solominer.records.ledger.recent_shares import Nonces
from solominer.work.events import ShareFound
from solominer.work.instant import Clock
from solominer.work.job import Job
from solominer.work.ports import Post
from solominer.work.workers import EngineSnapshot, ExtranonceRange

VALID_SECS = 600
"""Nodes stop when they have heard nothing newer for so long."""
ACK_SECS = 0.2
LOOK_SECS = 1.0
STREAMS_SECS = 5.0
"""How often the head looks whether somebody has deleted its streams from the server."""
RETRY_SECS = 1.0
FENCED_SECS = 0.1
"""After this the head looks which message the stream has, if not the one that it thought."""
_NO_WORK = "sent a share that is no work, for job %d -> if that goes on: solominer cluster remove %s"
_UNKNOWN = "sent a share of job %d of run %d, which is not kept any more"
_STALE_BLOCK = "found a block for job %d of run %d, which is not kept any more: it is stale"

log = logging.getLogger(__name__)


class ClusterEngine:
    """A cluster as an engine (`work.ports.Engine`); its workers are those of all nodes: `cluster/node7.cpu2`.

    `note` writes into the ledger. `write` writes out what the records were given, and returns whether it succeeded;
    `recorded` are shares that earlier runs have recorded, `blocks` the hashes of blocks that they have on disk.
    """

    name = NAME

    def __init__(
        self,
        settings: ClusterSettings,
        clock: Clock,
        *,
        note: Note = lambda kind, fields: None,
        write: Callable[[], bool] = lambda: True,
        recorded: Set[Nonces] = frozenset(),
        blocks: Set[bytes] = frozenset(),
    ) -> None:
        self.settings = settings
        self._clock, self._note, self._write = clock, note, write
        self._recorded, self._blocks = recorded, blocks
        self._post: Post = lambda event: None
        copied = settings.jobs_file if settings.has_standby else None
        self._vault = Vault(copied, self._prepare_soon) if copied else None
        self._jobs = KnownJobs(settings.jobs_file, self._vault)
        self._judged, self._complaints = Judged(), Complaints()
        heard = (self._direct_share, self._beat, self._join)
        self._fairness = Fairness(*heard, go=self._go, names=settings.node_names, complaints=self._complaints)
        self._members = Members(ExtranonceRange(0, 0), settings.network, note)
        self._client: Client | None = None
        self._run = time.time_ns() // 1_000_000
        self._there = asyncio.Event()
        self._fence = Fence(self._prepare_soon)
        self._number, self._troubled_by = 0, ""
        self._asking: asyncio.Timeout | None = None
        self._job: Job | None = None
        self._intensity = 1.0
        self._ready = self._replaced = self._refused = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] | None = None

    # Life

    async def start(self, post: Post, space: ExtranonceRange) -> None:
        """Restore the jobs of the run before and begin to connect."""
        self._post = post
        self._failed = asyncio.get_running_loop().create_future()
        self._members = Members(space, self.settings.network, self._note)
        self._jobs.restore(post, self._clock)
        self._go(self._connect())
        self._go(self._acknowledge())
        self._go(self._look())
        self._go(self._look_at_streams())

    async def run(self) -> None:
        """Wait until it is stopped; raises what its tasks raise."""
        if self._failed is not None:
            await self._failed

    async def stop(self, timeout_secs: float) -> None:
        """Stop the nodes and leave the server."""
        self.stop_work()
        client, self._client = self._client, None
        try:
            async with asyncio.timeout(timeout_secs):
                if client is not None and not self._replaced:
                    await self._send_acks(client)
                    await self._fence.publish(client, self._message(None).pack())
        except LOST as error:
            log.warning("the cluster's server was not told of the end: %s", error or type(error).__name__)
        await end(self._tasks)
        if client is not None:
            await client.close()
        await asyncio.to_thread(self._jobs.close)
        if self._failed is not None and not self._failed.done():
            self._failed.set_result(None)

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and self._failed and not self._failed.done():
            self._failed.set_exception(error)

    # The connection

    async def _connect(self) -> None:
        """Connect, and prepare the server each time that it is there again."""

        async def back() -> None:
            self._there.set()
            if self._asking is not None and not self._asking.expired():  # it asked on the connection before
                self._asking.reschedule(0)

        settings = self.settings
        client = await connect(settings.servers, NAME, tls=settings.tls, inbox=f"_INBOX.{NAME}-head", back=back)
        try:
            await client.subscribe(subjects.TO_JUDGE, cb=self._kept_share)
            self._client = client
            while True:
                await self._there.wait()
                self._there.clear()
                if not await self._prepare(client) and not self._there.is_set():
                    await asyncio.sleep(RETRY_SECS)
                    self._there.set()
        except asyncio.CancelledError:
            if self._client is client:  # else `stop` closes it
                self._client = None
                await client.close()
            raise

    def _prepare_soon(self) -> None:
        asyncio.get_running_loop().call_later(FENCED_SECS, self._there.set)

    async def _prepare(self, client: Client) -> bool:
        """Make the streams, begin the run if it has not begun, publish what is wanted; whether that was possible."""
        try:
            async with asyncio.timeout(None) as self._asking:
                await make_streams(client, self.settings.replicas)
                newest, sequence = await newest_job_and_sequence(client)
                self._fence.begin(sequence)
                if self._vault is not None:
                    await self._vault.begin(client, self.settings.replicas)
                if not self._ready:
                    known = max(newest.run if newest else 0, self._jobs.newest_restored)
                    self._run = self._members.run = max(self._run, known + 1)
                    await self._fairness.hear_joins(client)
                    await client.subscribe(subjects.JOB, cb=self._heard_job)
                    self._ready = True
                elif newest is not None and newest.run > self._run:
                    self._replace(newest.run)
                await client.flush()
            self._go(self._send(self._number, self._job))
        except LOST as error:
            self._trouble("" if self._there.is_set() else what_is_wrong(error))
            return False
        finally:
            self._asking = None
        self._trouble("")
        return True

    def _trouble(self, text: str) -> None:
        """What is wrong with the servers, '' if nothing is: it is tried again each second, and said once."""
        if text and text != self._troubled_by:
            log.error("%s", text)
        self._troubled_by = text

    async def _look_at_streams(self) -> None:
        """A stream that is deleted under way would be missed at the next connection only."""
        names = [subjects.JOB_STREAM, subjects.SHARE_STREAM, *([subjects.VAULT_STREAM] if self._vault else [])]
        while True:
            await asyncio.sleep(STREAMS_SECS)
            client = self._client
            if client is None or not self._ready or self._replaced:
                continue
            with suppress(*LOST):
                if lost := await lost_streams(client, names):
                    log.error(
                        "the cluster's server has lost %s: it is made again -> do not delete it; shares that were only "
                        "there are lost, those of now wait at the nodes",
                        " and ".join(lost),
                    )
                    self._there.set()

    # Work

    def publish(self, job: Job, *, clean: bool) -> None:
        """Send all nodes this job."""
        if job.signed_extranonce is not None:
            if not self._refused:
                log.error("blocks of this chain are signed, each for one extranonce: a cluster cannot work on it")
            self._refused = True
            self.stop_work()
            return
        self._next(job)

    def stop_work(self) -> None:
        """Have all nodes stop."""
        if self._job is not None:
            self._next(None)

    def set_intensity(self, share: float) -> None:
        """Have all nodes use this fraction of their power."""
        self._intensity = max(0.0, min(share, 1.0))
        self._next(self._job)

    def _next(self, job: Job | None) -> None:
        self._job = job
        self._number += 1
        self._go(self._send(self._number, job))

    async def _send(self, number: int, job: Job | None) -> None:
        """Send this message, unless a newer one is wanted by the time its job is on the disk."""
        if not self._ready or self._replaced:
            return
        packed = None if job is None else await self._jobs.add(self._run, job)
        client = self._client
        if client is None or self._replaced or number != self._number:
            return
        await self._fence.publish(client, self._message(packed).pack())

    def _message(self, job: WorkerJob | None) -> JobMessage:
        return JobMessage(self._run, self._number, job, VALID_SECS, self._intensity)

    async def _heard_job(self, message: Msg) -> None:
        try:
            heard = JobMessage.unpack(message.data)
        except DecodeError:
            return
        if heard.run > self._run:
            self._replace(heard.run)

    def give_way(self) -> None:
        """Another daemon is about to publish to this cluster: publish no more."""
        self._replaced = True

    def _replace(self, run: int) -> None:
        """Another daemon has begun a newer run: two must never publish."""
        if not self._replaced:
            todo = "" if self.settings.has_standby else " -> stop one of them"
            log.critical("another daemon publishes jobs to this cluster (run %d): this one has stopped to%s", run, todo)
        self.give_way()

    # Nodes

    @property
    def nodes(self) -> Collection[str]:
        """The names of those that have joined in this run."""
        return self._members.names

    def remove(self, node: str) -> None:
        """The servers refuse this node from now on."""
        self._members.remove(node, time.monotonic())

    def tell(self, node: str, notice: Notice) -> None:
        """Send one node a notice."""
        self._go(self._tell(node, notice))

    async def _tell(self, node: str, notice: Notice) -> None:
        try:
            if self._client is not None:
                await self._client.publish(subjects.notice_subject(node), notice.pack())
        except LOST as error:
            log.warning("node %s was not told to %s: %s", node, notice.name.lower(), error)

    async def _join(self, message: Msg) -> None:
        if self._replaced:
            return
        node = subjects.node_of(message.subject)
        self._drop(node, "")
        try:
            answer = self._members.join(node, JoinRequest.unpack(message.data), time.monotonic())
        except DecodeError as error:
            self._complaints.say(logging.WARNING, node, "cannot join: %s", error)
            answer = Refusal(error.what)
        try:
            if isinstance(answer, Lease) and self._client is not None:
                await self._fairness.hear(self._client, node)
            await message.respond(answer.pack())
        except LOST:  # it asks again
            log.debug("the answer to a node was lost")

    async def _beat(self, message: Msg) -> None:
        node = subjects.node_of(message.subject)
        self._drop(node, "")
        try:
            self._members.beat(node, Beat.unpack(message.data), time.monotonic())
        except DecodeError as error:
            log.debug("a beat on %s: %s", message.subject, error.what)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECS)
            self._members.look(time.monotonic())
            if self._client is not None:
                await self._fairness.look(self._client)

    def snapshot(self) -> EngineSnapshot:
        """All workers of all nodes."""
        workers = self._members.snapshot()
        return EngineSnapshot(NAME, workers, sum(worker.state == "hashing" for worker in workers))

    # Shares

    async def _direct_share(self, message: Msg) -> None:
        self._take(message.subject, message.data, "")

    async def _kept_share(self, message: Msg) -> None:
        self._take(message.subject, message.data, message.reply)

    def _take(self, subject: str, data: bytes, reply: str) -> None:
        """Hand a share in, unless this was done; `reply` is where the server wants its acknowledgement.

        It is looked at here whether it is work at all: what is handed in waits in one queue with all others' shares.
        """
        node = subjects.node_of(subject)
        try:
            share = ShareMessage.unpack(data)
        except DecodeError as error:
            self._complaints.say(logging.WARNING, node, "sent something that is not a share: %s", error)
            self._drop(node, reply)
            return
        job = self._jobs.job_of(share, self._run)
        if job is None:
            self._unknown(node, share, reply)
            return
        hash_le = share.header(job).hash_le()
        is_block, worker = meets_target(hash_le, job.network_target), worker_id(node, share.worker)
        if not is_block and not meets_target(hash_le, job.share_target):
            if self._complaints.say(logging.WARNING, node, _NO_WORK, share.job_id, node):
                self._note("share_misses_target", {"worker": str(worker), "job": share.job_id})
            self._drop(node, reply)
            return
        event = self._jobs.event(share, job, worker, is_block, self._clock)
        recorded = share.run != self._run and Nonces.of(event) in self._recorded
        if self._judged.is_recorded(event.key) or (recorded and (not is_block or hash_le in self._blocks)):
            self._drop(node, reply)
        elif self._replaced and not is_block:
            return  # the new head has it from the server, and counts it
        elif self._judged.take(event.key, reply, time.monotonic()):
            self._fairness.new_work(node)
            self._post(replace(event, recorded=recorded))
        elif not reply:
            self._drop(node, "")

    def _unknown(self, node: str, share: ShareMessage, reply: str) -> None:
        if not reply:  # the server has it too
            self._drop(node, "")
            return
        if share.run > self._run:  # it is for the head of that run
            return
        if self._complaints.say(
            *((logging.ERROR, node, _STALE_BLOCK) if share.is_block else (logging.INFO, node, _UNKNOWN)),
            share.job_id,
            share.run,
        ):
            self._note("share_of_unknown_job", {"worker": str(worker_id(node, share.worker)), "job": share.job_id})
        self._drop(node, reply)

    def _drop(self, node: str, reply: str) -> None:
        """Have the server forget a share that is no new work; that of a node that sends too many, later."""
        answer = self._fairness.answer(node, is_from_stream=bool(reply))
        if reply and self._client is not None:
            self._go(self._answer(self._client, reply, answer))

    @staticmethod
    async def _answer(client: Client, reply: str, answer: bytes) -> None:
        try:
            await client.publish(reply, answer)
        except LOST:  # it is sent again
            log.debug("an acknowledgement was lost")

    def share_judged(self, share: ShareFound) -> None:
        """Have the server forget it when the records are written."""
        self._judged.judged(share.key)

    def block_saved(self, hash_le: bytes) -> None:
        """Does nothing: its share is judged only then."""

    async def _acknowledge(self) -> None:
        while True:
            await asyncio.sleep(ACK_SECS)
            if self._client is not None:
                await self._send_acks(self._client)

    async def _send_acks(self, client: Client) -> None:
        """Acknowledge what was judged, once the records are written."""
        if not self._judged.waits:
            return
        shares = self._judged.begin()
        if not await asyncio.to_thread(self._write):
            self._judged.again(shares)
            return
        for reply in self._judged.recorded(shares):
            await self._answer(client, reply, ACK)
