"""The Stratum engine: starts and watches the process that miners connect to, and gives it jobs.

What a miner finds comes back as events like any other engine's: blocks at once, and shares that are worth a record.
All other shares count as sums. The process may end at any time: what the next one needs, works and sessions, is kept
here, so miners resume where they were and late shares are still judged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from solominer.chain.hashes import to_rpc_hex
from solominer.engines.cpu.job_slot import anonymous_file
from solominer.engines.cpu.processes import python_command
from solominer.engines.stratum.addresses import reachable
from solominer.engines.stratum.channel import (
    AddressAnswer,
    AddressQuestion,
    CannotListen,
    Fault,
    Found,
    Frames,
    FromProcess,
    ListenerSetup,
    Listening,
    News,
    Notable,
    Publish,
    Quit,
    Relisten,
    Relistened,
    Report,
    Saved,
    ServerLimits,
    Setup,
    ToProcess,
    Withdraw,
    encode,
)
from solominer.engines.stratum.events import BlockFound, NotableShare
from solominer.engines.stratum.group import GroupBooks
from solominer.engines.stratum.kept_works import KeptWorks
from solominer.engines.stratum.miners import NAME, Miners
from solominer.engines.stratum.payouts import MinerPayouts, miner_payouts
from solominer.engines.stratum.sessions_file import KeptSessions, SessionsFile
from solominer.engines.stratum.translate import share_found, work_of
from solominer.errors import EngineError, NodeError, SolominerError
from solominer.work.events import WorkerDied, WorkerStarted
from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Clock
from solominer.work.job import Job
from solominer.work.miners import MinerShares
from solominer.work.payout import Payout
from solominer.work.ports import Post
from solominer.work.workers import EngineSnapshot, ExtranonceRange, WorkerId

START_SECS = 20.0
APPLY_SECS = 5.0
SAVED_KEPT = 4096
"""Blocks whose finders get their answer at once if they hand them in again."""

_FIRST_BACKOFF_SECS, _MAX_BACKOFF_SECS, _HEALTHY_SECS = 0.1, 10.0, 60.0
_SAID_BYTES = 4096

log = logging.getLogger(__name__)

Note = Callable[[str, Mapping[str, Any]], None]
"""Takes a line for the ledger: its kind and fields."""

TakeSums = Callable[[list[MinerShares]], None]


@dataclass(frozen=True, slots=True)
class StratumSettings:
    """Listeners, bounds, the tag for coinbases that are made here, and the files that are kept over a restart.

    `group_window` is the window of the group's listeners, in thousandths of the network's difficulty. `simulated`:
    found blocks are neither kept nor sent, so no answer waits for the disk. `cache_dir` keeps compiled code.
    """

    listeners: tuple[ListenerSetup, ...]
    tag: bytes = b""
    sessions_file: Path | None = None
    works_file: Path | None = None
    group_file: Path | None = None
    group_window: int = 1000
    limits: ServerLimits = field(default_factory=ServerLimits)
    simulated: bool = False
    cache_dir: Path | None = None


class StratumEngine:
    """The Stratum server as an engine (`work.ports.Engine`); its workers are the names that miners log in with.

    `ask` asks a node what script an address stands for (PayoutError if none, NodeError while it cannot be asked).
    `note` writes into the ledger; `sums` takes what miners did since the last call, about once a second.
    """

    name = NAME

    def __init__(
        self,
        settings: StratumSettings,
        clock: Clock,
        *,
        ask: Callable[[str], Awaitable[Payout]],
        note: Note = lambda kind, fields: None,
        sums: TakeSums = lambda sums: None,
    ) -> None:
        self.settings = settings
        self._clock, self._ask, self._note, self._sums = clock, ask, note, sums
        self._post: Post = lambda event: None
        self._space = ExtranonceRange(0, 1)
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said = -1
        self._listening: asyncio.Future[None] | None = None
        self._relistened: asyncio.Future[Relistened] | None = None
        self._applying = asyncio.Lock()
        self._starts = 0
        self._works = KeptWorks(settings.works_file)
        self._has_work = False
        self._saved: dict[bytes, None] = {}
        self._sessions = KeptSessions(SessionsFile(settings.sessions_file) if settings.sessions_file else None)
        self._group = self._books_of(settings)
        self._miners = Miners()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._ended = asyncio.Event()
        self.urls: list[str] = []
        """Where miners can connect, once it has started."""

    def _books_of(self, settings: StratumSettings) -> GroupBooks | None:
        if settings.group_file is None or all(each.pay_to != "group" for each in settings.listeners):
            return None
        return GroupBooks(settings.group_file, settings.group_window, self._note)

    @property
    def is_serving(self) -> bool:
        """Whether miners can connect at the moment."""
        listening = self._listening
        if listening is None or not listening.done() or listening.cancelled():
            return False
        return listening.exception() is None

    # Life

    def extranonce_first(self) -> int | None:
        """Where the extranonces of the last run began, if its miners may resume their sessions with them."""
        self._sessions.load()
        return self._sessions.extranonce_first

    async def start(self, post: Post, space: ExtranonceRange) -> None:
        """Open all listeners. Raises EngineError if one cannot be opened or the process does not start."""
        self._post, self._space = post, space
        if self._group is not None:
            self._group.open()
        self._sessions.load()
        self._sessions.extranonce_first = space.first
        self._works.restore(post, self._clock)
        await self._start_process()

    async def _start_process(self) -> None:
        ours, theirs = socket.socketpair()
        self._said = anonymous_file("solominer-stratum-said")
        command, environment = python_command("solominer.engines.stratum")
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=theirs.fileno(), stdout=asyncio.subprocess.DEVNULL, stderr=self._said, env=environment
            )
        except OSError as error:
            ours.close()
            os.close(self._said)
            raise EngineError(f"the Stratum server cannot be started: {error}") from error
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._listening = asyncio.get_running_loop().create_future()
        self._starts += 1
        setup = Setup(
            parent_pid=os.getpid(),
            listeners=list(self.settings.listeners),
            limits=self.settings.limits,
            extranonce_first=self._space.first,
            extranonce_count=self._space.count,
            first_seq=self._works.first_seq,
            sessions=self._sessions.resumable(),
            cache_dir=str(self.settings.cache_dir or ""),
        )
        self._send(setup)
        self._reading = asyncio.create_task(self._read(reader), name="stratum messages")
        try:
            async with asyncio.timeout(START_SECS):
                await self._listening
        except TimeoutError:
            await self._kill()
            raise EngineError(f"the Stratum server was not ready after {START_SECS:.0f} s") from None
        except EngineError:
            await self._kill()
            raise
        self._post(WorkerStarted(self._clock(), WorkerId(NAME, "server"), self._process.pid, NAME))
        for message in self._works.messages(self._starts, has_work=self._has_work):
            self._send(message)
        if not self._has_work:
            self._send(Withdraw())

    async def run(self) -> None:
        """Start the process again whenever it ends; returns when the engine is stopped."""
        backoff = _FIRST_BACKOFF_SECS
        while not self._stopping:
            began = time.monotonic()
            assert self._process is not None
            pid = self._process.pid
            reason = await self._until_end()
            if self._stopping:
                break
            if time.monotonic() - began > _HEALTHY_SECS:
                backoff = _FIRST_BACKOFF_SECS
            self._post(WorkerDied(self._clock(), WorkerId(NAME, "server"), pid, reason, backoff))
            self._note("stratum_ended", {"reason": reason})
            self._sums(self._miners.server_ended(time.monotonic()))
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _MAX_BACKOFF_SECS)
            if not self._stopping:
                await self._restart(backoff)
        await self._ended.wait()

    async def _restart(self, backoff: float) -> None:
        while not self._stopping:
            try:
                await self._start_process()
            except EngineError as error:
                log.error("%s; it is tried again in %g s", error, backoff)
                await asyncio.sleep(backoff)
            else:
                return

    async def _until_end(self) -> str:
        """Wait for the end of the process; why it ended."""
        assert self._process is not None
        code = await self._process.wait()
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=1.0)  # its last messages may be blocks
        if self._stopping:
            return ""  # `stop` closes everything
        said = os.pread(self._said, _SAID_BYTES, max(0, os.fstat(self._said).st_size - _SAID_BYTES))
        self._close()
        lines = said.decode(errors="replace").strip().splitlines()
        told = f": {lines[-1]}" if lines else ""
        return (f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}") + told

    async def stop(self, timeout_secs: float) -> None:
        """Close all connections and end the process; by force after `timeout_secs`."""
        self._stopping = True
        self._send(Quit())
        process = self._process
        if process is not None:
            try:
                async with asyncio.timeout(timeout_secs):
                    await process.wait()
            except TimeoutError:
                await self._kill()
            if self._reading is not None:
                await asyncio.wait([self._reading], timeout=1.0)
            self._close()
        for task in self._tasks:
            task.cancel()
        self._sessions.save(now=True)
        await asyncio.to_thread(self._works.close)
        if self._group is not None:
            self._group.flush()
            self._group.save()
        self._ended.set()

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._close()

    def _close(self) -> None:
        self._listening = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._said >= 0:
            os.close(self._said)
            self._said = -1

    # Work

    def publish(self, job: Job, *, clean: bool) -> None:
        """Give the job to all miners. A signed block has one extranonce, so miners get no work on such a chain."""
        if job.signed_extranonce is not None:
            if not self._works:
                log.warning("blocks of this chain are signed: miners cannot work on it, only the CPU")
            self.stop_work()
            return
        standing = self._group.standing(job.template.target) if self._group is not None else None
        work = replace(work_of(job, self.settings.tag), group=standing)
        self._has_work = True
        self._send(Publish(work))
        self._works.add(work, job.template)
        if self._group is not None:
            self._group.flush()

    def stop_work(self) -> None:
        """Announce nothing more until there is a job. Miners go on with theirs: its shares are still judged."""
        if self._has_work:
            self._has_work = False
            self._send(Withdraw())

    def block_saved(self, hash_le: bytes) -> None:
        """A block that a miner found is on disk: now its answer may leave."""
        self._saved[hash_le] = None
        if len(self._saved) > SAVED_KEPT:
            del self._saved[next(iter(self._saved))]
        self._send(Saved(hash_le))

    def block_state(self, block: FoundBlock, state: BlockState) -> None:
        """A block of any engine is in another state: what a block of the group carries over is booked, or undone."""
        if self._group is not None:
            self._group.block_state(block.hash_hex, state)

    def set_intensity(self, share: float) -> None:
        """Nothing: miners cannot be told to work less."""

    def snapshot(self) -> EngineSnapshot:
        """What every miner is doing."""
        return replace(self._miners.snapshot(time.monotonic(), self._has_work), urls=tuple(self.urls))

    def payouts(self) -> MinerPayouts:
        """What a block pays that a miner finds now."""
        workers = self.snapshot().workers
        return miner_payouts(self.settings.listeners, self.settings.group_window, self._works.newest, workers)

    async def apply(self, settings: StratumSettings) -> list[str]:
        """Change listeners and limits while it runs; connections of listeners that stay do not notice.

        Returns a line for each change that was not possible: there everything is as before.
        """
        async with self._applying:
            if not self.is_serving:
                return ["stratum: its server is starting: reload again in a few seconds"]
            if self._group is None and (books := self._books_of(settings)) is not None:
                try:
                    books.open()
                except EngineError as error:
                    return [f"stratum: {error.what}: {error.todo}"]
                self._group = books
            self._relistened = asyncio.get_running_loop().create_future()
            self._send(Relisten(list(settings.listeners), settings.limits))
            try:
                async with asyncio.timeout(APPLY_SECS):
                    done = await self._relistened
            except TimeoutError:
                return [f"stratum: no answer from its server within {APPLY_SECS:.0f} s: reload again"]
            self.settings = replace(settings, listeners=tuple(done.listeners))
            self._listen_at(done.urls)
            return [f"stratum: {problem}" for problem in done.problems]

    def _listen_at(self, urls: list[str]) -> None:
        before, self.urls = self.urls, [each for url in urls for each in reachable(url)]
        if self.urls != before:
            log.info("miners connect to %s", " or ".join(self.urls) or "no address: there is no listener")

    # Messages

    def _send(self, message: ToProcess) -> None:
        if self._writer is not None and (self.is_serving or isinstance(message, Setup)):
            self._writer.write(encode(message))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        frames = Frames(FromProcess)
        with suppress(ConnectionError):  # it ended without having read everything
            while data := await reader.read(1 << 16):
                for message in frames.feed(data):
                    self._take(message)
        if self._listening is not None and not self._listening.done():
            self._listening.set_exception(EngineError("the Stratum server ended while it started"))

    def _take(self, message: FromProcess) -> None:
        listening = self._listening
        match message:
            case Found():
                self._block(message.block)
            case Notable():
                self._share(message.share, message.share.job_difficulty, is_block=False)
            case Report():
                self._sums(self._miners.report(time.monotonic(), message))
                if self._group is not None and message.credits:
                    self._group.credit(message.credits)
                self._sessions.keep(message.sessions)
            case News():
                log.info("%s", message)
                self._note(message.kind, message.fields)
            case AddressQuestion():
                task = asyncio.create_task(self._answer(message.address))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Listening() if listening and not listening.done():
                self._listen_at(message.urls)
                listening.set_result(None)
            case CannotListen() if listening and not listening.done():
                listening.set_exception(
                    EngineError(f"the Stratum server cannot listen on {message.problem}", message.todo)
                )
            case Relistened() if self._relistened and not self._relistened.done():
                self._relistened.set_result(message)
            case Fault():
                log.error("the compiled check of shares was wrong about a header; hashlib goes on in its place")
                self._note("validator_fault", {"header": message.header.hex()})
            case _:
                pass

    def _block(self, found: BlockFound) -> None:
        if found.refused:
            log.warning("a share of %s was refused (%s) and is a block", found.worker, found.refused)
        self._share(found, found.share_difficulty, is_block=True)
        if self._group is not None and found.group_bytes and (work := self._works.get(found.work_id)) is not None:
            self._group.found(to_rpc_hex(found.hash_le), work, found.group_bytes)
        if self.settings.simulated or found.hash_le in self._saved:  # handed in again, after a restart of the server
            self._send(Saved(found.hash_le))

    def _share(self, share: BlockFound | NotableShare, difficulty: float, *, is_block: bool) -> None:
        work = self._works.get(share.work_id)
        self._post(share_found(share, difficulty, work, self._clock(), is_block=is_block))

    async def _answer(self, address: str) -> None:
        try:
            payout = await self._ask(address)
        except NodeError as error:
            log.warning("address %s cannot be checked: %s", address, error.what)
            answer = AddressAnswer(address, None, "the node cannot be asked about this address now: try again")
        except SolominerError as error:
            answer = AddressAnswer(address, None, error.what)
        else:
            answer = AddressAnswer(address, payout.script_pubkey)
        self._send(answer)
