"""The Stratum engine: starts and watches the processes that miners connect to, and gives them jobs.

What a miner finds comes back as events like any other engine's: blocks at once, and shares that are worth a record.
All other shares count as sums. A process may end at any time: what the next one needs, works and sessions, is kept
here, so miners resume where they were and late shares are still judged.

Several processes listen on the same ports, and the kernel deals connections to them. Each has values of extranonce1 and
job numbers of its own, so no two miners ever have the same work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import structs

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.networks import Network
from solominer.engines.stratum.addresses import reachable
from solominer.engines.stratum.authority import Authority, authority_of
from solominer.engines.stratum.channel import (
    AddressAnswer,
    AddressQuestion,
    Elsewhere,
    FromProcess,
    ListenerSetup,
    News,
    Publish,
    Quit,
    Relisten,
    Report,
    Saved,
    ServerLimits,
    Setup,
    Sharing,
    ToProcess,
    Withdraw,
    encode,
)
from solominer.engines.stratum.events import BlockFound, KernelFault, NotableShare
from solominer.engines.stratum.extranonces import Held
from solominer.engines.stratum.group import GroupBooks
from solominer.engines.stratum.jobs import PROCESS_SEQS
from solominer.engines.stratum.kept_works import KeptWorks
from solominer.engines.stratum.miners import NAME, Miners
from solominer.engines.stratum.payouts import MinerPayouts, miner_payouts
from solominer.engines.stratum.server_process import ServerProcess
from solominer.engines.stratum.sessions_file import KeptSessions
from solominer.engines.stratum.translate import share_found, work_of
from solominer.engines.stratum.work import OWN_SPLIT, Work, split_of
from solominer.errors import EngineError, NodeError, SolominerError
from solominer.work.events import ShareFound, WorkerDied, WorkerStarted
from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Clock
from solominer.work.job import Job
from solominer.work.miners import MinerShares
from solominer.work.payout import Payout
from solominer.work.ports import Post
from solominer.work.template import Template
from solominer.work.workers import EngineSnapshot, ExtranonceRange, WorkerId

APPLY_SECS = 5.0
SAVED_KEPT = 4096
"""Blocks whose finders get their answer at once if they hand them in again."""

USUAL_EXTRANONCE2 = 8
"""Bytes that a pool is expected to leave until it gives a job."""

_ASK_AT_ONCE = 4

log = logging.getLogger(__name__)

Note = Callable[[str, Mapping[str, Any]], None]
"""Takes a line for the ledger: its kind and fields."""

TakeSums = Callable[[list[MinerShares]], None]


@dataclass(frozen=True, slots=True)
class StratumSettings:
    """Listeners, bounds, the tag for coinbases that are made here, and the files that are kept over a restart.

    `processes` is how many serve them, 1 to 16.
    `group_window` is the window of the group's listeners, in thousandths of the network's difficulty. `simulated`:
    found blocks are neither kept nor sent, so no answer waits for the disk. `cache_dir` keeps compiled code.
    `authority_file` keeps the key of Stratum V2; None: V1 alone is spoken. `at_a_pool`: all work brings its coinbase,
    that of a pool or of a cluster's head.
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
    processes: int = 1
    authority_file: Path | None = None
    at_a_pool: bool = False


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
        self._servers = [ServerProcess(partial(self._take, number)) for number in range(settings.processes)]
        self._bound: list[ListenerSetup] = []
        self._starting, self._applying = asyncio.Lock(), asyncio.Lock()
        self._asking = asyncio.Semaphore(_ASK_AT_ONCE)
        self._works = KeptWorks(settings.works_file)
        self._has_work = False
        self._saved: dict[bytes, None] = {}
        self._sessions = KeptSessions(settings.sessions_file)
        self._group = self._books_of(settings)
        self._authority: Authority | None = None
        self._miners = Miners()
        self._split = split_of(USUAL_EXTRANONCE2) if settings.at_a_pool else OWN_SPLIT
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self.urls: list[str] = []
        """Where miners can connect, once it has started."""

    def _books_of(self, settings: StratumSettings) -> GroupBooks | None:
        if settings.group_file is None or all(each.pay_to != "group" for each in settings.listeners):
            return None
        return GroupBooks(settings.group_file, settings.group_window, self._note)

    @property
    def is_serving(self) -> bool:
        """Whether all processes take miners at the moment."""
        return all(server.is_serving for server in self._servers)

    # Life

    def extranonce_first(self) -> int | None:
        """Where the extranonces of the last run began, if its miners may resume their sessions with them."""
        self._sessions.load()
        return self._sessions.extranonce_first

    async def start(self, post: Post, space: ExtranonceRange) -> None:
        """Open all listeners. Raises EngineError if one cannot be opened or a process does not start."""
        self._post, self._space = post, space
        self._authority = authority_of(self.settings.listeners, self.settings.authority_file)
        if self._group is not None:
            self._group.open()
        self._sessions.load()
        self._sessions.extranonce_first = space.first
        self._works.restore(post, self._clock)
        try:
            for number in range(len(self._servers)):
                await self._start_process(number)
        except EngineError:
            for server in self._servers:
                await server.kill()
            raise

    async def _start_process(self, number: int) -> None:
        async with self._starting:
            await self._start_next(number)

    async def _start_next(self, number: int) -> None:
        server, split = self._servers[number], self._split
        space = ExtranonceRange(self._space.first, min(self._space.count, 1 << 8 * split.connections))
        space = space.part(number, len(self._servers))
        setup = Setup(
            parent_pid=os.getpid(),
            listeners=self._listeners_of(number),
            limits=self.settings.limits.part(len(self._servers)),
            extranonce_first=space.first,
            extranonce_count=space.count,
            first_seq=self._works.first_seq + number * PROCESS_SEQS,
            sessions=self._sessions.resumable(),
            cache_dir=str(self.settings.cache_dir or ""),
            authority_secret=self._authority.secret if self._authority else b"",
            split=split,
        )
        listening = await server.start(setup)
        if number == 0:
            self._listen_at(listening.bound)
        self._post(WorkerStarted(self._clock(), self._id_of(number), server.pid, NAME))
        for message in self._works.messages(server.starts, has_work=self._has_work):
            server.send(encode(message))
        if not self._has_work:
            server.send(encode(Withdraw()))
        if split != self._split:
            server.send(encode(Quit()))

    def _listeners_of(self, number: int) -> list[ListenerSetup]:
        """The listeners of a process: the ports of those that serve, if any. The first one has the Unix sockets."""
        if len(self._servers) == 1:
            return list(self.settings.listeners)
        joins = any(server.is_serving for server in self._servers)
        listeners = self._bound if joins or number else self.settings.listeners
        sharing = Sharing.JOIN if joins else Sharing.FIRST
        return [structs.replace(each, sharing=sharing) for each in listeners if not number or not each.path]

    def _id_of(self, number: int) -> WorkerId:
        return WorkerId(NAME, f"server-{number + 1}" if len(self._servers) > 1 else "server")

    async def run(self) -> None:
        """Start each process again whenever it ends; returns when the engine is stopped."""
        await asyncio.gather(
            *(
                server.run(partial(self._start_process, number), partial(self._died, number))
                for number, server in enumerate(self._servers)
            )
        )
        await self._ended.wait()

    def _died(self, number: int, pid: int, reason: str, backoff: float) -> None:
        self._post(WorkerDied(self._clock(), self._id_of(number), pid, reason, backoff))
        self._note("stratum_ended", {"reason": reason})
        self._sums(self._miners.server_ended(time.monotonic(), number))

    async def stop(self, timeout_secs: float) -> None:
        """Close all connections and end all processes; by force after `timeout_secs`."""
        await asyncio.gather(*(server.stop(timeout_secs) for server in self._servers))
        for task in self._tasks:
            task.cancel()
        self._sessions.save(now=True)
        await asyncio.to_thread(self._works.close)
        if self._group is not None:
            self._group.flush()
            self._group.save()
        self._ended.set()

    # Work

    def publish(self, job: Job, *, clean: bool) -> None:
        """Give the job to all miners. A signed block has one extranonce, so miners get no work on such a chain."""
        if job.signed_extranonce is not None:
            if not self._works:
                log.warning("blocks of this chain are signed: miners cannot work on it, only the CPU")
            self.stop_work()
            return
        standing = self._group.standing(job.template.target) if self._group is not None else None
        self.give(replace(work_of(job, self.settings.tag), group=standing), job.template)
        if self._group is not None:
            self._group.flush()

    def give(self, work: Work, template: Template) -> None:
        """Give this work to all miners; its number is above those of all before. `template` is what it was made of."""
        self._has_work = True
        if work.split != self._split:
            self._split = work.split
            log.info("another pool leaves another size of extranonce: miners are cut off, to connect anew")
            self._send(Quit())
        else:
            self._send(Publish(work))
        self._works.add(work, template)

    def work(self, number: int) -> Work | None:
        """The work of that number, if it is kept."""
        return self._works.get(number)

    @property
    def newest_work(self) -> Work | None:
        """What was given last, perhaps in an earlier run."""
        return self._works.newest

    def stop_work(self) -> None:
        """Announce nothing more until there is a job. Miners go on with theirs: its shares are still judged."""
        if self._has_work:
            self._has_work = False
            self._send(Withdraw())

    def block_saved(self, hash_le: bytes) -> None:
        """A block that a miner found, or a share that a cluster's head wants, is on disk: its answer may leave."""
        self._saved[hash_le] = None
        if len(self._saved) > SAVED_KEPT:
            del self._saved[next(iter(self._saved))]
        self._send(Saved(hash_le))

    def share_judged(self, share: ShareFound) -> None:
        """Does nothing: miners have their answers."""

    def block_state(self, block: FoundBlock, state: BlockState) -> None:
        """A block of any engine is in another state: what a block of the group carries over is booked, or undone."""
        if self._group is not None:
            self._group.block_state(block.hash_hex, state)

    def set_intensity(self, share: float) -> None:
        """Nothing: miners cannot be told to work less."""

    def snapshot(self) -> EngineSnapshot:
        """The state of every miner."""
        return replace(self._miners.snapshot(time.monotonic(), self._has_work), urls=tuple(self.urls))

    def payouts(self, network: Network) -> MinerPayouts:
        """The payouts of a block that a miner would find now."""
        workers = self.snapshot().workers
        window = self.settings.group_window
        return miner_payouts(self.settings.listeners, window, self._works.newest, workers, network)

    async def apply(self, settings: StratumSettings) -> list[str]:
        """Change listeners and limits while it runs; connections of listeners that stay do not notice.

        Returns a line for each change that was not possible: there everything is as before.
        """
        async with self._applying:
            if not self.is_serving:
                return ["stratum: its server is starting: reload again in a few seconds"]
            if self._authority is None and any(each.v2 == "only" for each in settings.listeners):
                return ["stratum: the first listener with Stratum V2 requires a restart"]
            if self._group is None and (books := self._books_of(settings)) is not None:
                try:
                    books.open()
                except EngineError as error:
                    return [f"stratum: {error.what}: {error.todo}"]
                self._group = books
            first, *others = self._servers
            limits = settings.limits.part(len(self._servers))
            try:
                async with asyncio.timeout(APPLY_SECS):
                    done = await first.relisten(Relisten(self._opened_by_first(settings), limits))
                    self.settings = replace(settings, listeners=tuple(done.listeners))
                    self._listen_at(done.bound)
                    wanted = Relisten(self._listeners_of(1), limits)
                    more = await asyncio.gather(*(server.relisten(wanted) for server in others))
            except TimeoutError:
                return [f"stratum: no answer from its server within {APPLY_SECS:.0f} s: reload again"]
            problems = [problem for each in (done, *more) for problem in each.problems]
            return [f"stratum: {problem}" for problem in dict.fromkeys(problems)]

    def _opened_by_first(self, settings: StratumSettings) -> list[ListenerSetup]:
        """The new listeners of the first process; the others still have the current ports."""
        if len(self._servers) == 1:
            return list(settings.listeners)
        ours = {each.place for each in self.settings.listeners}
        return [
            structs.replace(each, sharing=Sharing.JOIN if each.place in ours else Sharing.FIRST)
            for each in settings.listeners
        ]

    def _listen_at(self, bound: list[ListenerSetup]) -> None:
        self._bound = bound
        key = self._authority.key if self._authority else ""
        urls = [url for listener in bound for url in listener.urls(key)]
        before, self.urls = self.urls, [each for url in urls for each in reachable(url)]
        if self.urls != before:
            log.info("miners connect to %s", " or ".join(self.urls) or "no address: there is no listener")

    # Messages

    def _send(self, message: ToProcess) -> None:
        """To all processes."""
        frame = encode(message)
        for server in self._servers:
            server.send(frame)

    def _take(self, number: int, message: FromProcess) -> None:
        match message:
            case BlockFound():
                self._block(number, message)
            case NotableShare():
                self._share(message)
            case Report():
                self._sums(self._miners.report(time.monotonic(), message, number))
                if self._group is not None and message.credits:
                    self._group.credit(message.credits)
                self._tell_others(number, self._sessions.keep(message.sessions))
            case News():
                log.info("%s", message)
                self._note(message.kind, message.fields)
            case AddressQuestion():
                task = asyncio.create_task(self._answer(number, message.address))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case KernelFault():
                log.error("the compiled check of shares was wrong about a header; hashlib goes on in its place")
                self._note("validator_fault", {"header": message.header.hex()})

    def _tell_others(self, number: int, sessions: list[Held]) -> None:
        """A miner that comes back may come to any process."""
        if sessions and len(self._servers) > 1:
            frame = encode(Elsewhere([Held(each.session_id, each.extranonce1, each.difficulty) for each in sessions]))
            for other, server in enumerate(self._servers):
                if other != number:
                    server.send(frame)

    def _block(self, number: int, found: BlockFound) -> None:
        if found.refused:
            log.warning("a share of %s was refused (%s) and is a block", found.worker, found.refused)
        self._share(found)
        if self._group is not None and found.group_bytes and (work := self._works.get(found.work_id)) is not None:
            self._group.found(to_rpc_hex(found.hash_le), work, found.group_bytes)
        if self.settings.simulated or found.hash_le in self._saved:  # handed in again, after a restart of the server
            self._servers[number].send(encode(Saved(found.hash_le)))

    def _share(self, share: BlockFound | NotableShare) -> None:
        self._post(share_found(share, self._works.get(share.work_id), self._clock()))

    async def _answer(self, number: int, address: str) -> None:
        try:
            async with self._asking:
                payout = await self._ask(address)
        except NodeError as error:
            log.warning("address %s cannot be checked: %s", address, error.what)
            answer = AddressAnswer(address, None, "the node cannot be asked about this address now: try again")
        except SolominerError as error:
            answer = AddressAnswer(address, None, error.what)
        else:
            answer = AddressAnswer(address, payout.script_pubkey)
        self._servers[number].send(encode(answer))
