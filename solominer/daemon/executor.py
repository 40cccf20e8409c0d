"""Executes the coordinator's actions. One task owns the coordinator; all others only post events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from solominer.chain.hashes import to_rpc_hex
from solominer.daemon.event_queue import EventQueue
from solominer.daemon.hash_counts import HashCounts
from solominer.daemon.host_metrics import now
from solominer.engines.engine_set import EngineSet
from solominer.errors import NodeError, SolominerError
from solominer.node.headers import compare
from solominer.records.journal.recovery import Replay
from solominer.records.journal.saver import BlockSaver
from solominer.records.recorder import Recorder
from solominer.work.actions import (
    Action,
    Alarm,
    CheckTransactions,
    CompareNodes,
    FetchTipHeader,
    LocateBlock,
    LookAtNode,
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
)
from solominer.work.coordinator import Coordinator
from solominer.work.events import (
    Answer,
    BlockRestored,
    BlockSaved,
    BlockSeen,
    Event,
    HealthSeen,
    JobSigned,
    NewTip,
    NodesCompared,
    ProposalAnswered,
    ResumeWanted,
    ShareFound,
    SubmitAnswered,
    TipHeader,
)
from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Clock
from solominer.work.ports import BlockObserver, Node, ShareObserver, SubmitReply
from solominer.work.signing import data_to_sign
from solominer.work.workers import WorkerId

log = logging.getLogger("solominer.daemon.daemon")
T = TypeVar("T")

FRESH_SECS = 10.0
"""At shutdown a block is submitted again until it is that old; later it is left to the next start."""

HEADER_FIRST_SECS = 0.05
"""Maximum delay of a template request for the header of a new tip, from which the empty job is built."""

LEVELS = {
    Severity.CRITICAL: logging.CRITICAL,
    Severity.HIGH: logging.ERROR,
    Severity.MEDIUM: logging.WARNING,
    Severity.LOW: logging.WARNING,
    Severity.INFO: logging.INFO,
}


def log_alarm(severity: str, code: str, message: str, todo: str) -> None:
    """Log an alarm; the status shows it, too."""
    text = f"{message} -> {todo} [{code}]" if todo else f"{message} [{code}]"
    log.log(LEVELS[Severity(severity)], "%s", text, extra={"alarm": (str(severity), code, message, todo)})


class Executor:
    """Passes events from a queue to the coordinator and executes its actions.

    `spawn` starts a task whose failure ends the daemon; `changed` is set after every event.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        engines: EngineSet,
        nodes: Mapping[str, Node],
        recorder: Recorder,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        observer: ShareObserver | None,
        clock: Clock = now,
        block_state: BlockObserver = lambda block, state: None,
    ) -> None:
        self.coordinator = coordinator
        self._observer, self._block_state = observer, block_state
        self._engines, self._nodes, self._recorder, self._spawn, self._clock = engines, nodes, recorder, spawn, clock
        self.queue = EventQueue()
        self.count_hashes = HashCounts(engines, self.queue, recorder, clock).record
        self._fetching: dict[str, str | None] = {}
        self._headers: dict[str, asyncio.Event] = {}
        self._urgent = 0
        self._unsaved: dict[bytes, ShareFound] = {}
        self._saver = BlockSaver(recorder.journal, self.alarm)
        self._tip_mono = 0.0
        self._parent_le = b""
        self.changed = asyncio.Event()
        self._actions: dict[type, Callable[[Any], None]] = {
            StopWork: self._stop_work,
            PublishJob: self._publish,
            SignJob: lambda a: self._go(self._sign(a)),
            RefreshTemplate: self._refresh,
            FetchTipHeader: self._fetch_header,
            CheckTransactions: lambda a: self._go(self._nodes[a.node].check_transactions(a.template)),
            ProposeJob: lambda a: self._go(self._propose_job(a)),
            LookAtNode: lambda a: self._go(self._look(a.node)),
            CompareNodes: lambda a: self._go(self._compare(a)),
            SaveBlock: self._save_block,
            SendBlock: lambda a: self._go_urgently(self._send, a),
            ProposeBlock: lambda a: self._go_urgently(self._propose_block, a),
            LocateBlock: lambda a: self._go(self._locate(a)),
            SaveState: self._state_changed,
            ShareSeen: self._share,
            Record: self._record,
            Alarm: lambda a: self.alarm(a.severity, a.code, a.message, a.todo),
        }

    def post(self, event: Event) -> None:
        """Queue an event. Must be called in the event loop's thread."""
        if isinstance(event, NewTip):
            self._tip_mono = time.monotonic()
        elif isinstance(event, ResumeWanted):
            self._tip_mono = 0.0  # the pause was no latency
        self.queue.put(event)

    async def run(self) -> None:
        """Handle events until cancelled."""
        while True:
            event = await self.queue.get()
            if isinstance(event, HealthSeen):
                self._recorder.health(event.at.wall, event.health)
            self._handle(event)
            self.changed.set()

    def _handle(self, event: Event) -> list[Action]:
        """The only place that changes the coordinator; event and actions are recorded."""
        actions: list[Action] = []
        try:
            actions = self.coordinator.handle(event)
            self.do(actions)
        finally:
            self._recorder.event(event, actions)
        if isinstance(event, ShareFound):
            self._judged(event, actions)
        return actions

    def _judged(self, share: ShareFound, actions: list[Action]) -> None:
        """Tell its engine: at once, or when the block that it is has been saved."""
        saving = [action.block.hash_le for action in actions if isinstance(action, SaveBlock)]
        if saving:
            self._unsaved[saving[0]] = share
        elif share.key not in (other.key for other in self._unsaved.values()):  # else it was handed in again
            self._engines.share_judged(share)

    async def settle(self, timeout_secs: float) -> None:
        """At shutdown: wait for pending submissions and writes, and try once more to save what is only in memory.

        A block that was found just now is submitted again meanwhile, until a node has it.
        """
        try:
            async with asyncio.timeout(timeout_secs):
                while self._is_busy:
                    await asyncio.sleep(0.01)
                await self._saver.save_rest()
                while self._is_busy or self._has_fresh_block():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            log.warning(
                "no answer from a node in %.3g s; open blocks are submitted again at the next start", timeout_secs
            )

    @property
    def _is_busy(self) -> bool:
        return bool(self._urgent or len(self.queue))

    def _has_fresh_block(self) -> bool:
        """Whether a block of the last seconds is in no node's chain yet, as after a connection that broke."""
        at = self._clock()
        return any(at - tracked.state_at < FRESH_SECS for tracked in self.coordinator.blocks.untaken)

    def restore(self, replay: Replay) -> None:
        """Before `run`: track unsettled blocks of earlier runs, and submit them again if they are missing."""
        for problem in replay.problems:
            log.warning("journal: %s", problem)
        for entry in replay.blocks:
            if entry.block is not None:
                self._saver.kept_in(entry.hash_le, entry.folders)
                self._engines.block_saved(entry.block.worker, entry.hash_le)
                if self._handle(BlockRestored(self._clock(), entry.block, entry.state)):
                    log.info("still tracking block %d %s", entry.height, entry.block.hash_hex)

    def do(self, actions: list[Action]) -> None:
        """Execute actions in order; slow ones continue in the background."""
        for action in actions:
            self._actions[type(action)](action)

    # --- work ----------------------------------------------------------------------------------------------------

    def _stop_work(self, action: StopWork) -> None:
        self._engines.stop_work()
        if action.reason == "new tip":
            self._recorder.latency(self._clock().wall, "tip_to_stop", time.monotonic() - self._tip_mono)
        log.debug("work stopped: %s", action.reason)

    def _publish(self, action: PublishJob) -> None:
        job = action.job
        clean = job.template.prevhash_le != self._parent_le
        self._parent_le = job.template.prevhash_le
        if self._engines.publish(job, clean=clean):
            self.count_hashes()
        self._observed(lambda observer: observer.published(job))
        if self._tip_mono:
            provisional = job.template.provisional
            kind = "tip_to_empty" if provisional else "tip_to_full"
            self._recorder.latency(self._clock().wall, kind, time.monotonic() - self._tip_mono)
            if not provisional:
                self._tip_mono = 0.0
        self._recorder.job(self._clock().wall, job)
        log.info("mining %s", job.describe())

    async def _sign(self, action: SignJob) -> None:
        """Sign with the node of the template, or else with any other node."""
        job, problems = action.job, []
        data = data_to_sign(job)
        for name in sorted(self._nodes, key=lambda name: name != action.node):
            try:
                solution = await self._nodes[name].sign(data)
            except SolominerError as error:
                problems.append(f"{name}: {error.what}")
                continue
            self.post(JobSigned(self._clock(), action.node, job.job_id, solution))
            return
        self.post(JobSigned(self._clock(), action.node, job.job_id, problem="; ".join(problems)))

    def _refresh(self, action: RefreshTemplate) -> None:
        """One request at a time for each node; a refresh wanted meanwhile follows directly."""
        if action.node in self._fetching:
            self._fetching[action.node] = action.reason
            return
        self._fetching[action.node] = None
        self._go(self._fetch(action.node, action.reason))

    async def _fetch(self, node: str, reason: str | None) -> None:
        try:
            while reason is not None:
                await self._header_first(node)
                await self._nodes[node].fetch_template(reason)
                reason = self._fetching[node]
                self._fetching[node] = None
        finally:
            del self._fetching[node]

    def _fetch_header(self, action: FetchTipHeader) -> None:
        answered = self._headers[action.node] = asyncio.Event()
        self._go(self._tip_header(action, answered))

    async def _tip_header(self, action: FetchTipHeader, answered: asyncio.Event) -> None:
        try:
            tip = await self._nodes[action.node].tip_facts(action.hash_le)
        except NodeError as error:
            log.debug("no header of the new tip from %s: %s", action.node, error.what)
            return
        finally:
            answered.set()
        self.post(TipHeader(self._clock(), action.node, tip))

    async def _header_first(self, node: str) -> None:
        """Get the new tip's header first: a node that assembles a template does not answer other calls."""
        answered = self._headers.pop(node, None)
        if answered is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEADER_FIRST_SECS):
                    await answered.wait()

    async def _propose_job(self, action: ProposeJob) -> None:
        job = action.job
        extranonce = job.signed_extranonce or job.extranonce()
        header = job.header(extranonce, job.space.version, job.space.ntime_min, 0).pack()
        reply = await self._nodes[action.node].propose(job.block_hex(header, extranonce))
        self.post(ProposalAnswered(self._clock(), action.node, job.job_id, reply.answer, reply.raw))

    async def _look(self, node: str) -> None:
        health = await self._nodes[node].look()
        self.post(HealthSeen(self._clock(), health))

    async def _compare(self, action: CompareNodes) -> None:
        try:
            compared = await compare(self._nodes[action.one], self._nodes[action.other])
        except NodeError as error:
            log.debug("nodes %s and %s not compared: %s", action.one, action.other, error.what)
            return
        if compared is not None:
            self.post(NodesCompared(self._clock(), *compared))

    # --- blocks --------------------------------------------------------------------------------------------------

    def _save_block(self, action: SaveBlock) -> None:
        try:
            self._saver.begin(action.block)
        except Exception:  # no thread available: submission does not need it, and `_save` tries again
            log.exception("cannot start writing block %s", action.block.hash_hex)
        self._go_urgently(self._save, action.block)

    async def _save(self, block: FoundBlock) -> None:
        """Write to disk in parallel with the first submission, which never waits for the disk."""
        await self._saver.until_put(block.hash_le)
        log.info("BLOCK FOUND at height %d: %s, worker %s", block.height, block.hash_hex, block.worker)
        job = self.coordinator.judge.kept(block.job_id)
        try:
            self._recorder.block(block, job, None if self._observer is None else self._observer.block(block, job))
        except Exception:  # the block must be saved even without its proof
            log.exception("cannot record the proof of block %s", block.hash_hex)
        if await self._saver.save(block):
            self._saved(block)
        else:
            self._go(self._save_later(block))

    async def _save_later(self, block: FoundBlock) -> None:
        await self._saver.save_later(block)
        self._saved(block)

    def _saved(self, block: FoundBlock) -> None:
        self.post(BlockSaved(self._clock(), block.hash_le))
        self._engines.block_saved(block.worker, block.hash_le)
        if (share := self._unsaved.pop(block.hash_le, None)) is not None:
            self._engines.share_judged(share)

    def _state_changed(self, action: SaveState) -> None:
        self._go_urgently(self._save_state, action)
        try:
            self._block_state(action.block, action.state)
        except Exception:  # as with the observer
            log.exception("the state of block %s was not passed on", action.block.hash_hex)

    async def _save_state(self, action: SaveState) -> None:
        block = action.block
        level = logging.DEBUG if action.state is BlockState.SENT else logging.INFO
        log.log(level, "block %d %s is %s: %s", block.height, block.hash_hex, action.state.value, action.detail)
        await self._saver.note_state(action, self._clock().wall)

    async def _send(self, action: SendBlock) -> None:
        block = action.block
        reply = await self._reply_of(block.hash_le, self._submit(action))
        await self._answered(action.node, block.hash_le, block.height, reply, action.attempt)

    async def _submit(self, action: SendBlock) -> SubmitReply:
        block = action.block
        await self._saver.until_put(block.hash_le)
        block_hex = block.block_hex or await self._saver.kept_hex(block.hash_le)
        if not block_hex:
            self.alarm(Severity.CRITICAL, "block-not-kept", f"no complete copy of block {block.hash_hex} is left", "")
            return SubmitReply(Answer.UNKNOWN, "not sent: no complete copy is left", 0.0)
        return await self._nodes[action.node].submit(block_hex)

    async def _reply_of(self, hash_le: bytes, sending: Awaitable[SubmitReply]) -> SubmitReply:
        """The reply. After any exception it is unknown whether the block arrived, so it is sent again."""
        try:
            return await sending
        except Exception as error:
            log.exception("sending block %s failed unexpectedly", to_rpc_hex(hash_le))
            return SubmitReply(Answer.UNKNOWN, f"not answered: {type(error).__name__}: {error}", 0.0)

    async def _propose_block(self, action: ProposeBlock) -> None:
        proposing = self._nodes[action.node].propose(action.block.block_hex)
        reply = await self._reply_of(action.block.hash_le, proposing)
        await self._answered(action.node, action.block.hash_le, action.block.height, reply, 1)

    async def _answered(self, node: str, hash_le: bytes, height: int, reply: SubmitReply, attempt: int) -> None:
        event = SubmitAnswered(self._clock(), node, hash_le, reply.answer, reply.raw, attempt, reply.rpc_secs)
        self.post(event)
        await self._saver.note_answer(height, event)

    async def _locate(self, action: LocateBlock) -> None:
        try:
            found = await self._nodes[action.node].where_is(action.hash_le, action.height)
        except NodeError as error:
            log.debug("cannot look up block %s on %s: %s", to_rpc_hex(action.hash_le), action.node, error.what)
            return  # it is looked up again later
        except Exception:
            log.exception("looking up block %s on %s failed unexpectedly", to_rpc_hex(action.hash_le), action.node)
            return
        self.post(BlockSeen(self._clock(), action.node, action.hash_le, found.confirmations, found.rival_hex))

    # --- records -------------------------------------------------------------------------------------------------

    def _share(self, action: ShareSeen) -> None:
        self._recorder.share(action, self._observed(lambda observer: observer.share(action)))

    def _record(self, action: Record) -> None:
        if action.kind == "share_duplicate":
            self._observed(lambda observer: observer.repeated(WorkerId.parse(action.fields["worker"])))
        self._recorder.record(self._clock().wall, action.kind, action.fields)

    def _observed(self, tell: Callable[[ShareObserver], T]) -> T | None:
        """The observer's answer. A fault of it is logged: a block may follow, and must be sent."""
        try:
            return None if self._observer is None else tell(self._observer)
        except Exception:
            log.exception("the observer of shares failed")
            return None

    def alarm(self, severity: Severity, code: str, message: str, todo: str) -> None:
        """Log an alarm and record it."""
        log_alarm(severity, code, message, todo)
        self._recorder.error(self._clock().wall, severity, code, message, done=todo)

    def _go_urgently(self, work: Callable[[Any], Awaitable[None]], about: object) -> None:
        """As `_go`; `settle` waits for it."""

        async def counted() -> None:
            try:
                await work(about)
            except Exception:  # must not end the daemon, which keeps submitting the block
                log.exception("%s failed unexpectedly", work.__name__)
            finally:
                self._urgent -= 1

        self._urgent += 1
        self._go(counted())

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        self._spawn(work)
