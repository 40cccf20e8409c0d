"""The Stratum server of one process: listeners, connections, and what the daemon is told of them."""

from __future__ import annotations

import asyncio
import resource
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from solominer.chain.transaction import TxOut
from solominer.config.forms import system_words
from solominer.engines.stratum.channel import (
    AddressAnswer,
    AddressQuestion,
    FromProcess,
    ListenerSetup,
    MinerReport,
    News,
    Publish,
    Relisten,
    Relistened,
    Report,
    ServerLimits,
    Setup,
)
from solominer.engines.stratum.connection import (
    LAST_BLOCKS_SECS,
    LAST_SHARES_SECS,
    Connection,
    connection_record,
    session_of,
)
from solominer.engines.stratum.doorman import Doorman
from solominer.engines.stratum.duplicates import Duplicates
from solominer.engines.stratum.events import (
    AddressWanted,
    Authorized,
    AuthorizeRefused,
    BlockAccepted,
    BlockFound,
    Departed,
    DifficultyChanged,
    Event,
    KernelFault,
    NotableShare,
    Subscribed,
    Tally,
    Worker,
)
from solominer.engines.stratum.extranonces import ExtranonceTable, Held
from solominer.engines.stratum.intake import Intake
from solominer.engines.stratum.jobs import JobBoard, plan_of
from solominer.engines.stratum.listener import Listener
from solominer.engines.stratum.reference import HashlibValidator
from solominer.engines.stratum.shared import Credits, ListenerSettings, Shared, Tallies
from solominer.engines.stratum.shares import ShareChecker
from solominer.engines.stratum.unsaved import UnsavedBlocks
from solominer.engines.stratum.work import Audience, Work
from solominer.errors import EngineError
from solominer.work.job_check import check_group
from solominer.work.workers import ExtranonceRange

if TYPE_CHECKING:
    from solominer.engines.stratum.v2.identity import Identity
    from solominer.engines.stratum.v2.session import V2Session

SESSION_TICK_SECS = 4
FAN_OUT_AT_ONCE = 64
NEWS_A_MINUTE = 120
FRESH_SECS = 0.02
ASK_AT_ONCE = 4
MOST_ASKED = 10_000
"""Addresses that wait for the node."""
SCRIPTS_KEPT = 20_000
SPARE_FILES = 64
"""Open files that no connection may use: listeners, the daemon, what Python itself opens."""


class _Miner:
    """The connections that count in one tally, the newest last, and what the daemon was told last."""

    __slots__ = ("connections", "told")

    def __init__(self) -> None:
        self.connections: dict[Connection, None] = {}
        self.told = (0, 0.0)


class Server:
    """Serves miners on all listeners of `setup`; `send` takes what the daemon is to know."""

    def __init__(
        self, setup: Setup, send: Callable[[FromProcess], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self.now = now
        self._setup, self._send = setup, send
        self.identity = _identity(setup.authority_secret)
        self._board = JobBoard(_payouts, setup.first_seq, split=setup.split)
        space = ExtranonceRange(setup.extranonce_first, setup.extranonce_count)
        self._table = ExtranonceTable(space, lambda: secrets.token_hex(8))
        self._table.restore(setup.sessions, now())
        self.checker = ShareChecker(HashlibValidator(), Duplicates())
        self.intake = Intake(self.checker, self._board, now)
        self.unsaved = UnsavedBlocks()
        self._tallies, self._credits = Tallies(), Credits()
        self._scripts: dict[str, bytes] = {}
        self._doorman = Doorman(0, 0)
        self._use_limits(setup.limits)
        self._connections: dict[Connection, None] = {}
        self._awaited: dict[Connection, None] = {}
        self._by_session: dict[str, Connection] = {}
        self._asking: dict[str, list[Connection]] = {}
        self._asked: set[str] = set()
        self._miners: dict[Tally, _Miner] = {}
        self._sessions_told: dict[str, tuple[object, ...]] = {}
        self._sessions_gone: list[Held] = []
        self._fresh: dict[Connection, None] = {}
        self._fanning: deque[Connection] = deque()
        self._no_work_since: float | None = now()
        self._listeners: dict[tuple[object, ...], Listener] = {}
        self._beat = self._numbers = 0
        self._news_left = NEWS_A_MINUTE

    # Life

    async def open(self) -> list[ListenerSetup]:
        """Open all listeners; with their ports. Raises EngineError that names the one that cannot be opened."""
        for setup in self._setup.listeners:
            await self._listen(self._listener(setup))
        return self._bound()

    async def relisten(self, wanted: Relisten) -> Relistened:
        """Listen as `wanted`; what is not possible stays as it is. Connections of listeners that stay do not notice."""
        problems, failed, fresh = [], set(), []
        for setup in wanted.listeners:
            listener = self._listeners.get(setup.identity)
            try:
                if listener is None:
                    fresh.append(self._listener(setup))
                else:
                    listener.change(setup)
            except EngineError as error:
                problems.append(error)
                failed.add(setup.place)
        identities = {setup.identity for setup in wanted.listeners}
        for identity, listener in list(self._listeners.items()):
            if identity not in identities and listener.setup.place not in failed:
                listener.close()
                del self._listeners[identity]
        for listener in fresh:
            try:
                await self._listen(listener)
            except EngineError as error:
                problems.append(error)
        self._use_limits(wanted.limits)
        now = self.now()
        for connection in list(self._connections):
            if connection.listener.setup.identity not in self._listeners:
                connection.close("its listener was closed")
            else:
                connection.limits_changed(now)
        listeners = [listener.setup for listener in self._listeners.values()]
        return Relistened(listeners, self._bound(), [f"{error.what}: {error.todo}" for error in problems])

    def _listener(self, setup: ListenerSetup) -> Listener:
        shared = Shared(
            self._board, self._table, self.checker, ListenerSettings(), self._scripts, self._tallies, self._credits
        )
        return Listener(setup, shared)

    async def _listen(self, listener: Listener) -> None:
        await listener.open(lambda: Connection(self, listener))
        self._listeners[listener.setup.identity] = listener

    def _bound(self) -> list[ListenerSetup]:
        return [listener.bound for listener in self._listeners.values()]

    def _use_limits(self, limits: ServerLimits) -> None:
        self._limits = limits
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._doorman.most = min(limits.connections, max(1, files - SPARE_FILES))
        self._doorman.most_per_address = limits.connections_per_address

    async def close(self) -> None:
        """Take no more connections and close those that are open; waits for their last shares."""
        for listener in self._listeners.values():
            listener.close()
        for connection in list(self._connections):
            connection.close("the server stops")
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SHARES_SECS + 2 * LAST_BLOCKS_SECS):
                while self._connections:
                    await asyncio.sleep(0.01)
        self.report()

    # Work

    def publish(self, message: Publish) -> None:
        """Other work, for everybody at once."""
        self.intake.drain()
        now = self.now()
        self._board.publish(message.work, now - message.age_secs)
        self._board.skip(message.skip)
        if not message.announce:
            self._board.withdraw()
            return
        self._no_work_since = None
        idle = not self._fanning
        self._fanning = deque(self._connections)
        if idle:
            self._fan_out()

    def withdraw(self) -> None:
        """No work."""
        self._board.withdraw()
        if self._no_work_since is None:
            self._no_work_since = self.now()

    def _fan_out(self) -> None:
        """Send the newest job to those that wait for it; a share that arrives meanwhile waits for no more than some."""
        now, fanning = self.now(), self._fanning
        for _ in range(min(FAN_OUT_AT_ONCE, len(fanning))):
            fanning.popleft().work_changed(now)
        if self._fanning:
            asyncio.get_running_loop().call_soon(self._fan_out)

    def sessions_elsewhere(self, sessions: list[Held]) -> None:
        """Sessions that other processes have: their miners may come here."""
        self._table.restore(sessions, self.now())

    def address_answered(self, answer: AddressAnswer) -> None:
        """The node's word about an address that a miner wants to be paid at."""
        if answer.script is not None:
            self._scripts[answer.address] = answer.script
            while len(self._scripts) > SCRIPTS_KEPT:
                del self._scripts[next(iter(self._scripts))]
        self._asked.discard(answer.address)
        for connection in self._asking.pop(answer.address, ()):
            if connection.session is not None and not connection.closed_for:
                now = self.now()
                connection.carry_out(
                    connection.session.address_resolved(answer.address, answer.script, answer.reason, now)
                )
        self._ask()

    def _await_address(self, connection: Connection, address: str) -> None:
        """Have the connection hear of this address, unless too many wait: who leaves does not take his back."""
        if address in self._asking or len(self._asking) < MOST_ASKED:
            self._asking.setdefault(address, []).append(connection)
            self._ask()
        elif connection.session is not None:
            told = f"{MOST_ASKED} addresses wait for the node: try again later"
            connection.carry_out(connection.session.address_resolved(address, None, told, self.now()))

    def _ask(self) -> None:
        """Have the node asked about addresses that miners want to be paid at, a few at a time: it has better to do."""
        for address in self._asking:
            if len(self._asked) >= ASK_AT_ONCE:
                return
            if address not in self._asked:
                self._asked.add(address)
                self._send(AddressQuestion(address))

    def _lacks_work(self) -> bool:
        since = self._no_work_since
        return since is not None and self.now() - since > self._limits.no_work_secs

    # Connections

    def v2_session(self, shared: Shared, now: float) -> V2Session:
        """The session of a client that speaks Stratum V2."""
        from solominer.engines.stratum.v2.session import V2Session

        assert self.identity is not None
        return V2Session(shared, self.identity, now)

    def await_header(self, connection: Connection) -> None:
        """A proxy connected, which is to say for whom."""
        self._awaited[connection] = None

    def admit(self, connection: Connection) -> str:
        """Take a new connection; or why not."""
        self._awaited.pop(connection, None)
        if self._lacks_work():
            return "no work from the node: try another server"
        refused = self._doorman.admit(connection.address, self.now())
        if not refused:
            self._numbers += 1
            connection.number = self._numbers
            self._connections[connection] = None
        return refused

    def left(self, connection: Connection, error: Exception | None) -> None:
        """A connection is gone."""
        now, session = self.now(), connection.session
        self._awaited.pop(connection, None)
        if session is None:  # it was not admitted
            return
        self._connections.pop(connection, None)
        banned = self._doorman.leave(
            connection.address, now, was_logged_in=connection.logged_in, failed=connection.at_fault
        )
        if not connection.taken_over:
            session.closed(now)
        if session.held is not None and not connection.taken_over:
            self._by_session.pop(session.held.session_id, None)
            self._sessions_told.pop(session.held.session_id, None)
            self._sessions_gone.append(session.held)
        for worker in session.workers.values():
            if worker.tally in self._miners:
                self._miners[worker.tally].connections.pop(connection, None)
        lost = system_words(error) if isinstance(error, OSError) else str(error or "it closed the connection")
        reason = connection.closed_for or lost
        if banned:
            self._news("miner_banned", peer=connection.address, reason=reason)
        elif connection.logged_in:
            self._news("miner_left", peer=connection.address, reason=reason, **connection_record(connection, now))

    def event(self, connection: Connection, event: Event) -> None:
        """Something that a session says."""
        match event:
            case BlockFound() | NotableShare():
                if event.to_save:
                    self.unsaved.add(event.hash_le, self.now())
                self._send(event)
            case BlockAccepted():
                self.unsaved.answer(event.hash_le, connection.answer_block, event.id_json)
            case KernelFault():
                self.checker.use(None)
                self._send(event)
            case AddressWanted():
                self._await_address(connection, event.address)
            case Subscribed():
                before = self._by_session.get(event.session_id)
                if before is not None and before is not connection:
                    before.retire("its session was resumed by another connection")
                self._by_session[event.session_id] = connection
            case Authorized():
                self._authorized(connection, event.worker)
            case Departed():
                self._departed(connection, event.worker.tally)
            case DifficultyChanged():
                if not self._fresh:
                    asyncio.get_running_loop().call_later(FRESH_SECS, self._tell_fresh)
                self._fresh[connection] = None
            case AuthorizeRefused():
                self._news("miner_refused", worker=event.name, peer=connection.address, reason=event.reason)

    def _tell_fresh(self) -> None:
        """Sessions whose difficulty has changed just now: should this process end, their shares are held against it."""
        fresh, self._fresh = self._fresh, {}
        sessions = [told for each in fresh if each.session is not None and (told := session_of(each.session))]
        self._send(Report(len(self._connections), [], sessions))

    def _authorized(self, connection: Connection, worker: Worker) -> None:
        session = connection.session
        assert session is not None
        if not connection.logged_in:
            self._doorman.logged_in(connection.address)
        worker.tally.connects += 1
        miner = self._miners.setdefault(worker.tally, _Miner())
        miner.connections.pop(connection, None)
        miner.connections[connection] = None
        self._news("miner_connected", worker=worker.name, peer=connection.address, user_agent=session.user_agent)

    def _departed(self, connection: Connection, tally: Tally) -> None:
        """A worker is gone; another of the connection may count in the same tally."""
        session = connection.session
        if session is not None and all(worker.tally is not tally for worker in session.workers.values()):
            self._miners[tally].connections.pop(connection, None)

    # Once a second

    def tick(self) -> None:
        """To be called every second."""
        now = self.now()
        self.unsaved.tick(now)
        if self.identity is not None:
            self.identity.prepare()
        self._beat += 1
        if self._beat % 60 == 0:
            self._news_left = NEWS_A_MINUTE
        lacking = self._lacks_work()
        for connection in list(self._connections):
            if lacking:
                connection.close("no work from the node")
            elif (connection.number + self._beat) % SESSION_TICK_SECS == 0:
                connection.tick(now)
        for connection in list(self._awaited):
            connection.tick(now)
        self.report()

    def report(self) -> None:
        """Tell the daemon what changed."""
        miners = []
        for tally, miner in self._miners.items():
            newest = next(reversed(miner.connections), None)
            session = newest.session if newest else None
            difficulty = session.difficulty.announced if session else 0.0
            told = (len(miner.connections), difficulty)
            if tally or told != miner.told:
                miner.told = told
                miners.append(MinerReport(tally.take(), *told))
        sessions, self._sessions_gone = self._sessions_gone, []
        for session_id, connection in self._by_session.items():
            assert connection.session is not None
            held = session_of(connection.session)
            assert held is not None
            seen = (held.last_seq, held.difficulty)
            if self._sessions_told.get(session_id) != seen:
                self._sessions_told[session_id] = seen
                sessions.append(held)
        self._send(Report(len(self._connections), miners, sessions, self._credits.take()))

    def _news(self, kind: str, **fields: str | int | float) -> None:
        """At most some a minute: a rack that comes back after a power cut is not worth thousands of lines."""
        self._news_left -= 1
        if self._news_left >= 0:
            self._send(News(kind, fields))


def _identity(authority_secret: bytes) -> Identity | None:
    """What Stratum V2 is spoken with; its packages are needed only where there is a secret."""
    if not authority_secret:
        return None
    from solominer.engines.stratum.v2.identity import Identity

    return Identity(authority_secret)


def _payouts(work: Work, audience: Audience) -> tuple[TxOut, ...]:
    """The whole reward for the audience's own script, or what the group is due, or the configured payout."""
    if audience.script is not None:
        return (TxOut(work.coinbase_value, audience.script),)
    if audience.coinbase_bytes and work.group is not None and work.group.works:
        outputs = plan_of(work, audience.coinbase_bytes).outputs
        paid = [(out.script_pubkey, out.value_sats) for out in outputs]
        check_group(paid, work.group.members, work.coinbase_value)
        return outputs
    return tuple(TxOut(value, script) for script, value in work.outputs)
