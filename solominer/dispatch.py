"""Carries out what the coordinator decides: one task owns the coordinator, everybody else only posts events to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from solominer.chain.hashes import to_rpc_hex
from solominer.errors import NodeError, SolominerError
from solominer.hashing.pool import WorkerPool
from solominer.keeper import Keeper
from solominer.node.compare import compare
from solominer.node.submit import Verdict, Whereabouts
from solominer.records.recorder import Recorder
from solominer.searchwatch import SearchWatch
from solominer.work.coordinator import Coordinator
from solominer.work.events import (
    Action,
    Alarm,
    Answer,
    BlockSeen,
    CheckTransactions,
    CompareNodes,
    Event,
    FetchTipHeader,
    HealthSeen,
    JobSigned,
    LocateBlock,
    LookAtNode,
    NewTip,
    NodeHealth,
    NodesCompared,
    ProposalAnswered,
    ProposeBlock,
    ProposeJob,
    PublishJob,
    Record,
    RefreshTemplate,
    SaveBlock,
    SaveState,
    SendBlock,
    Severity,
    ShareSeen,
    SignJob,
    StopWork,
    SubmitAnswered,
    TipFacts,
    TipHeader,
)
from solominer.work.found import BlockState, FoundBlock
from solominer.work.signed import data_to_sign
from solominer.work.template import Template

log = logging.getLogger("solominer.daemon")

QUEUE_SIZE = 100_000

HEADER_FIRST_SECS = 0.05
"""How long a template waits at most for the header of the same new tip, which the empty job is made of."""

LEVELS = {
    Severity.CRITICAL: logging.CRITICAL,
    Severity.HIGH: logging.ERROR,
    Severity.MEDIUM: logging.WARNING,
    Severity.LOW: logging.WARNING,
    Severity.INFO: logging.INFO,
}


class Link(Protocol):
    """What is asked of a node; `node.link.NodeLink` is the real one, `node.demo.DemoLink` the simulated one."""

    @property
    def name(self) -> str:
        """Name in the configuration."""

    async def run(self) -> None:
        """Watches the node until cancelled."""

    async def close(self) -> None:
        """Closes all connections."""

    async def fetch_template(self, reason: str) -> None:
        """Posts TemplateReady or TemplateFailed."""

    async def check_transactions(self, template: Template) -> None:
        """Posts TransactionsChecked."""

    async def look(self) -> NodeHealth:
        """One look."""

    async def submit(self, block_hex: str) -> Verdict:
        """Sends a block."""

    async def propose(self, block_hex: str) -> Verdict:
        """Asks about an unsolved block."""

    async def where_is(self, hash_le: bytes, height: int) -> Whereabouts:
        """Where the node has a block."""

    async def hash_at(self, height: int) -> bytes:
        """The active block at a height."""

    async def tip_facts(self, hash_le: bytes) -> TipFacts:
        """A block's header."""

    async def sign(self, data: bytes) -> bytes:
        """The signet solution of a block."""


class Dispatcher:
    """Runs the coordinator over a bounded queue and does what it says.

    `spawn` starts a task whose unexpected end ends the daemon; `changed` is set after every event.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        pool: WorkerPool,
        links: Mapping[str, Link],
        recorder: Recorder,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        watch: SearchWatch,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.coordinator = coordinator
        self._watch = watch
        self._pool, self._links, self._recorder, self._spawn, self._clock = pool, links, recorder, spawn, clock
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_SIZE)
        self._fetching: dict[str, str | None] = {}
        self._headers: dict[str, asyncio.Event] = {}
        self._urgent = 0
        self._keeper = Keeper(recorder.journal, self.alarm)
        self._tip_mono = 0.0
        self._share_target = 0
        self.changed = asyncio.Event()
        self._actions: dict[type, Callable[[Any], None]] = {
            StopWork: self._stop_work,
            PublishJob: self._publish,
            SignJob: lambda a: self._go(self._sign(a)),
            RefreshTemplate: self._refresh,
            FetchTipHeader: self._fetch_header,
            CheckTransactions: lambda a: self._go(self._links[a.node].check_transactions(a.template)),
            ProposeJob: lambda a: self._go(self._propose_job(a)),
            LookAtNode: lambda a: self._go(self._look(a.node)),
            CompareNodes: lambda a: self._go(self._compare(a)),
            SaveBlock: self._save_block,
            SendBlock: lambda a: self._go_urgently(self._send, a),
            ProposeBlock: lambda a: self._go_urgently(self._propose_block, a),
            LocateBlock: lambda a: self._go(self._locate(a)),
            SaveState: lambda a: self._go_urgently(self._save_state, a),
            ShareSeen: self._share,
            Record: self._record,
            Alarm: lambda a: self.alarm(a.severity, a.code, a.message, a.todo),
        }

    def post(self, event: Event) -> None:
        """Take an event; in the event loop's thread."""
        if isinstance(event, NewTip):
            self._tip_mono = time.monotonic()
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Handle events one by one, for good."""
        while True:
            event = await self._queue.get()
            if isinstance(event, HealthSeen):
                self._recorder.health(event.at, event.health)
            self.do(self.coordinator.handle(event))
            self.changed.set()

    async def settle(self, timeout_secs: float) -> None:
        """At the end: wait for submissions that are under way and for the disk, so that nothing is lost."""
        try:
            async with asyncio.timeout(timeout_secs):
                while self._urgent or not self._queue.empty():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            log.warning("a node has not answered in %g s; what is open is sent again at the next start", timeout_secs)

    def do(self, actions: list[Action]) -> None:
        """Carry out actions in order; whatever takes time goes on in the background."""
        for action in actions:
            self._actions[type(action)](action)

    # --- work ----------------------------------------------------------------------------------------------------

    def _stop_work(self, action: StopWork) -> None:
        self._pool.stop_work()
        if action.reason == "new tip":
            self._recorder.latency(self._clock(), "tip_to_stop", time.monotonic() - self._tip_mono)
        log.debug("work stopped: %s", action.reason)

    def _publish(self, action: PublishJob) -> None:
        job = action.job
        self._pool.publish(job)
        if job.share_target != self._share_target:
            self._share_target = job.share_target
            counted = {worker.index: worker.hashes for worker in self._pool.snapshot().workers}
            self._recorder.counters(self._clock(), "cpu", counted)
        self._watch.published(job)
        if self._tip_mono:
            provisional = job.template.provisional
            kind = "tip_to_empty" if provisional else "tip_to_full"
            self._recorder.latency(self._clock(), kind, time.monotonic() - self._tip_mono)
            if not provisional:
                self._tip_mono = 0.0
        self._recorder.job(self._clock(), job)
        log.info("mining %s", job.describe())

    async def _sign(self, action: SignJob) -> None:
        """By the node that gave the work, else by any other whose wallet can."""
        job, problems = action.job, []
        data = data_to_sign(job)
        for name in sorted(self._links, key=lambda name: name != action.node):
            try:
                solution = await self._links[name].sign(data)
            except SolominerError as error:
                problems.append(f"{name}: {error.what}")
                continue
            self.post(JobSigned(self._clock(), action.node, job.job_id, solution))
            return
        self.post(JobSigned(self._clock(), action.node, job.job_id, problem="; ".join(problems)))

    def _refresh(self, action: RefreshTemplate) -> None:
        """One request at a time for each node; what is wanted meanwhile is asked for right behind it."""
        if action.node in self._fetching:
            self._fetching[action.node] = action.reason
            return
        self._fetching[action.node] = None
        self._go(self._fetch(action.node, action.reason))

    async def _fetch(self, node: str, reason: str | None) -> None:
        try:
            while reason is not None:
                await self._header_first(node)
                await self._links[node].fetch_template(reason)
                reason = self._fetching[node]
                self._fetching[node] = None
        finally:
            del self._fetching[node]

    def _fetch_header(self, action: FetchTipHeader) -> None:
        answered = self._headers[action.node] = asyncio.Event()
        self._go(self._tip_header(action, answered))

    async def _tip_header(self, action: FetchTipHeader, answered: asyncio.Event) -> None:
        try:
            tip = await self._links[action.node].tip_facts(action.hash_le)
        except NodeError as error:
            log.debug("no header of the new tip from %s: %s", action.node, error.what)
            return
        finally:
            answered.set()
        self.post(TipHeader(self._clock(), action.node, tip))

    async def _header_first(self, node: str) -> None:
        """A node that makes a template answers nothing else for long: the header of its new tip goes before."""
        answered = self._headers.pop(node, None)
        if answered is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEADER_FIRST_SECS):
                    await answered.wait()

    async def _propose_job(self, action: ProposeJob) -> None:
        job = action.job
        extranonce2 = job.signed_extranonce2 or bytes(4)
        header = job.header(extranonce2, job.space.version, job.space.ntime_min, 0).pack()
        verdict = await self._links[action.node].propose(job.block_hex(header, extranonce2))
        self.post(ProposalAnswered(self._clock(), action.node, job.job_id, verdict.answer, verdict.raw))

    async def _look(self, node: str) -> None:
        health = await self._links[node].look()
        self.post(HealthSeen(self._clock(), health))

    async def _compare(self, action: CompareNodes) -> None:
        try:
            compared = await compare(self._links[action.one], self._links[action.other])
        except NodeError as error:
            log.debug("nodes %s and %s not compared: %s", action.one, action.other, error.what)
            return
        if compared is not None:
            self.post(NodesCompared(self._clock(), *compared))

    # --- blocks --------------------------------------------------------------------------------------------------

    def _save_block(self, action: SaveBlock) -> None:
        try:
            self._keeper.begin(action.block)
        except Exception:  # no thread to be had: sending does not need it, and `_save` tries again
            log.exception("block %s cannot be handed to the disk", action.block.hash_hex)
        self._go_urgently(self._save, action.block)

    async def _save(self, block: FoundBlock) -> None:
        """On disk in parallel with the first submission; a disk that fails holds nothing up."""
        await self._keeper.until_put(block.hash_le)
        log.info("FOUND a block at height %d: %s, worker %d", block.height, block.hash_hex, block.worker)
        job = self.coordinator.judge.kept(block.job_id)
        try:
            self._recorder.block(block, job, self._watch.block(block, job))
        except Exception:  # its proof is worth less than the block itself, which is still to be kept
            log.exception("no proof of block %s", block.hash_hex)
        if await self._keeper.save(block):
            self.coordinator.blocks.saved(block.hash_le)
        else:
            self._go(self._keeper.save_later(block))

    async def _save_state(self, action: SaveState) -> None:
        block = action.block
        level = logging.DEBUG if action.state is BlockState.SENT else logging.INFO
        log.log(level, "block %d %s is %s: %s", block.height, block.hash_hex, action.state.value, action.detail)
        await self._keeper.note_state(action, self._clock())

    async def _send(self, action: SendBlock) -> None:
        block = action.block
        verdict = await self._verdict(block.hash_le, self._submit(action))
        await self._answered(action.node, block.hash_le, block.height, verdict, action.attempt)

    async def _submit(self, action: SendBlock) -> Verdict:
        block = action.block
        await self._keeper.until_put(block.hash_le)
        block_hex = block.block_hex or await self._keeper.kept_hex(block.hash_le)
        if not block_hex:
            self.alarm(Severity.CRITICAL, "block-not-kept", f"no whole copy of block {block.hash_hex} is left", "")
            return Verdict(Answer.UNKNOWN, "not sent: no whole copy is left", 0.0)
        return await self._links[action.node].submit(block_hex)

    async def _verdict(self, hash_le: bytes, sending: Awaitable[Verdict]) -> Verdict:
        """What came of `sending`. Whatever it raises: nobody knows whether the block arrived, so it is sent again."""
        try:
            return await sending
        except Exception as error:
            log.exception("sending block %s failed unexpectedly", to_rpc_hex(hash_le))
            return Verdict(Answer.UNKNOWN, f"not answered: {type(error).__name__}: {error}", 0.0)

    def kept_in(self, hash_le: bytes, folders: Iterable[Path]) -> None:
        """The journal's folders of a block, to read it again when it is to be sent again."""
        self._keeper.kept_in(hash_le, folders)

    async def _propose_block(self, action: ProposeBlock) -> None:
        proposing = self._links[action.node].propose(action.block.block_hex)
        verdict = await self._verdict(action.block.hash_le, proposing)
        await self._answered(action.node, action.block.hash_le, action.block.height, verdict, 1)

    async def _answered(self, node: str, hash_le: bytes, height: int, verdict: Verdict, attempt: int) -> None:
        event = SubmitAnswered(self._clock(), node, hash_le, verdict.answer, verdict.raw, attempt, verdict.rpc_secs)
        self.post(event)
        await self._keeper.note_answer(height, event)

    async def _locate(self, action: LocateBlock) -> None:
        try:
            found = await self._links[action.node].where_is(action.hash_le, action.height)
        except NodeError as error:
            log.debug("block %s: no look at %s: %s", to_rpc_hex(action.hash_le), action.node, error.what)
            return  # it is looked up again later
        except Exception:
            log.exception("looking block %s up at %s failed unexpectedly", to_rpc_hex(action.hash_le), action.node)
            return
        self.post(BlockSeen(self._clock(), action.node, action.hash_le, found.confirmations, found.rival_hex))

    # --- records -------------------------------------------------------------------------------------------------

    def _share(self, action: ShareSeen) -> None:
        plan = self._watch.share(action)
        self._recorder.share(action.share.at, action.job, action.share, action.hash_le, stale=action.stale, plan=plan)

    def _record(self, action: Record) -> None:
        if action.kind == "share_duplicate":
            self._watch.repeated(action.fields["worker"])
        self._recorder.record(self._clock(), action.kind, action.fields)

    def alarm(self, severity: Severity, code: str, message: str, todo: str) -> None:
        """Tell people and the records."""
        log.log(LEVELS[severity], "%s [%s]", f"{message} -> {todo}" if todo else message, code)
        self._recorder.error(self._clock(), severity, code, message, done=todo)

    def _go_urgently(self, work: Callable[[Any], Awaitable[None]], about: object) -> None:
        """As `_go`, and counted from this moment on: `settle` waits for it though it has not begun."""

        async def counted() -> None:
            try:
                await work(about)
            except Exception:  # what is done for a block must not end the daemon, which goes on to send it
                log.exception("%s failed unexpectedly", work.__name__)
            finally:
                self._urgent -= 1

        self._urgent += 1
        self._go(counted())

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        self._spawn(work)
