"""The Stratum server of one process: listeners, connections, and what the daemon is told of them."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from solominer.chain.target import DIFFICULTY_1_TARGET
from solominer.chain.transaction import TxOut
from solominer.engines.stratum.channel import (
    AddressAnswer,
    AddressQuestion,
    Fault,
    Found,
    FromProcess,
    ListenerSetup,
    MinerReport,
    News,
    Notable,
    Publish,
    Report,
    Setup,
)
from solominer.engines.stratum.connection import Connection
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.doorman import Doorman
from solominer.engines.stratum.duplicates import Duplicates
from solominer.engines.stratum.events import (
    AddressWanted,
    Authorized,
    AuthorizeRefused,
    BlockFound,
    DifficultyChanged,
    Event,
    KernelFault,
    NotableShare,
    Subscribed,
    Tally,
)
from solominer.engines.stratum.extranonces import ExtranonceTable, Held
from solominer.engines.stratum.jobs import JobBoard
from solominer.engines.stratum.reference import HashlibValidator
from solominer.engines.stratum.session import Session
from solominer.engines.stratum.shared import ListenerSettings, PayTo, Shared, Tallies
from solominer.engines.stratum.shares import ShareChecker
from solominer.engines.stratum.work import Audience, Work
from solominer.errors import EngineError
from solominer.work.workers import ExtranonceRange

SESSION_TICK_SECS = 4
FAN_OUT_AT_ONCE = 64
NEWS_A_MINUTE = 120
FRESH_SECS = 0.02
BLOCKS_PER_WORK = 8
"""Blocks of one work that are sent to the daemon. All have the same parent, so one is wanted and the others are spare;
where difficulty is next to nothing (regtest), a miner finds thousands before it hears of the next tip."""
WORKS_COUNTED = 4096
_BACKLOG = 8192
_SOCKET_MODE = 0o660


class _Miner:
    """A worker name: its connections, the newest last."""

    __slots__ = ("connections", "told")

    def __init__(self) -> None:
        self.connections: dict[Connection, None] = {}
        self.told: tuple[object, ...] = ()


class Server:
    """Serves miners on all listeners of `setup`; `send` takes what the daemon is to know."""

    def __init__(
        self, setup: Setup, send: Callable[[FromProcess], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self.now = now
        self._setup, self._send = setup, send
        self._board = JobBoard(_payouts, setup.first_seq)
        space = ExtranonceRange(setup.extranonce_first, setup.extranonce_count)
        self._table = ExtranonceTable(space, lambda: secrets.token_hex(8))
        self._table.restore(setup.sessions, now())
        self.checker = ShareChecker(HashlibValidator(), Duplicates())
        self._tallies = Tallies()
        self._scripts: dict[str, bytes] = {}
        self._doorman = Doorman(setup.limits.connections, setup.limits.connections_per_address)
        self._connections: dict[Connection, None] = {}
        self._by_session: dict[str, Connection] = {}
        self._asking: dict[str, list[Connection]] = {}
        self._miners: dict[str, _Miner] = {}
        self._sessions_told: dict[str, tuple[object, ...]] = {}
        self._sessions_gone: list[Held] = []
        self._fresh: dict[Connection, None] = {}
        self._found: dict[int, int] = {}
        self._fanning: deque[Connection] = deque()
        self._no_work_since: float | None = now()
        self._listeners: list[asyncio.Server] = []
        self._beat = self._numbers = 0
        self._news_left = NEWS_A_MINUTE

    # Life

    async def open(self) -> list[str]:
        """Open all listeners; where they listen. Raises EngineError that names the one that cannot be opened."""
        urls = []
        for listener in self._setup.listeners:
            try:
                urls.append(await self._listen(listener))
            except (OSError, ValueError) as error:  # ValueError: an address that is none
                reason = getattr(error, "strerror", None) or error
                todo = "choose another address or port, or end what has it"
                raise EngineError(f"{listener.url}: {reason}", todo) from error
        return urls

    async def _listen(self, listener: ListenerSetup) -> str:
        limits = Limits(
            listener.start_difficulty,
            listener.least_difficulty,
            listener.most_difficulty or float("inf"),
            listener.fractional,
        )
        settings = ListenerSettings(pay_to=PayTo(listener.pay_to), limits=limits)
        shared = Shared(self._board, self._table, self.checker, settings, self._scripts, self._tallies)
        proxies = frozenset(listener.proxies)
        tls = _tls_of(listener) if listener.certificate else None
        loop = asyncio.get_running_loop()

        def protocol() -> Connection:
            return Connection(self, shared, proxies)

        if listener.path:
            path = Path(listener.path)
            if path.is_socket():  # of a server before this one; anything else there is not ours to remove
                path.unlink()
            server: asyncio.Server = await loop.create_unix_server(protocol, listener.path, backlog=_BACKLOG, ssl=tls)
            path.chmod(_SOCKET_MODE)
            self._listeners.append(server)
            return listener.url
        server = await loop.create_server(protocol, listener.host, listener.port, backlog=_BACKLOG, ssl=tls)
        self._listeners.append(server)
        for each in server.sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # accepted connections inherit it
        port = server.sockets[0].getsockname()[1]
        return ListenerSetup(listener.host, port, certificate=listener.certificate).url

    def close(self) -> None:
        """Take no more connections and close those that are open."""
        for server in self._listeners:
            server.close()
        for connection in list(self._connections):
            connection.close("the server stops")
        self.report()

    # Work

    def publish(self, message: Publish) -> None:
        """Other work, for everybody at once."""
        now = self.now()
        self._board.publish(message.work, now - message.age_secs)
        self._board.skip(message.skip)
        while len(self._found) > WORKS_COUNTED:
            del self._found[next(iter(self._found))]
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

    def address_answered(self, answer: AddressAnswer) -> None:
        """The node's word about an address that a miner wants to be paid at."""
        if answer.script is not None:
            self._scripts[answer.address] = answer.script
        for connection in self._asking.pop(answer.address, ()):
            if connection.session is not None and not connection.closed_for:
                now = self.now()
                connection.carry_out(
                    connection.session.address_resolved(answer.address, answer.script, answer.reason, now)
                )

    def _lacks_work(self) -> bool:
        since = self._no_work_since
        return since is not None and self.now() - since > self._setup.limits.no_work_secs

    # Connections

    def admit(self, connection: Connection) -> str:
        """Take a new connection; or why not."""
        if self._lacks_work():
            return "no work from the node: try another server"
        refused = self._doorman.admit(connection.address, self.now())
        if not refused:
            self._numbers += 1
            connection.number = self._numbers
            self._connections[connection] = None
        return refused

    def left(self, connection: Connection, error: Exception | None) -> None:
        """An admitted connection is gone."""
        now, session = self.now(), connection.session
        self._connections.pop(connection, None)
        failed = bool(connection.closed_for)
        banned = self._doorman.leave(connection.address, now, was_logged_in=connection.logged_in, failed=failed)
        assert session is not None
        if session.held is not None and not connection.taken_over:
            session.closed(now)
            self._by_session.pop(session.held.session_id, None)
            self._sessions_told.pop(session.held.session_id, None)
            self._sessions_gone.append(session.held)
        for worker in session.workers.values():
            self._miners[worker.name].connections.pop(connection, None)
        reason = connection.closed_for or (str(error) if error else "it closed the connection")
        if banned:
            self._news("miner_banned", peer=connection.address, reason=reason)
        elif connection.logged_in:
            name = next(iter(session.workers.values())).name
            secs = round(now - connection.opened_at, 1)
            self._news("miner_left", worker=name, peer=connection.address, secs=secs, reason=reason)

    def event(self, connection: Connection, event: Event) -> None:
        """Something that a session says."""
        match event:
            case BlockFound():
                found = self._found.get(event.work_id, 0)
                self._found[event.work_id] = found + 1
                if found < BLOCKS_PER_WORK:
                    self._send(Found(event))
            case NotableShare():
                self._send(Notable(event))
            case KernelFault():
                self.checker.use(None)
                self._send(Fault(event.header))
            case AddressWanted():
                asking = self._asking.setdefault(event.address, [])
                asking.append(connection)
                if len(asking) == 1:
                    self._send(AddressQuestion(event.address))
            case Subscribed():
                before = self._by_session.get(event.session_id)
                if before is not None and before is not connection:
                    before.retire("its session was resumed by another connection")
                self._by_session[event.session_id] = connection
            case Authorized():
                self._authorized(connection, event.name)
            case DifficultyChanged():
                if not self._fresh:
                    asyncio.get_running_loop().call_later(FRESH_SECS, self._tell_fresh)
                self._fresh[connection] = None
            case AuthorizeRefused():
                self._news("miner_refused", worker=event.name, peer=connection.address, reason=event.reason)
            case _:
                pass

    def _tell_fresh(self) -> None:
        """Sessions whose difficulty has changed just now: should this process end, their shares are held against it."""
        fresh, self._fresh = self._fresh, {}
        sessions = [told for each in fresh if each.session is not None and (told := _session_of(each.session))]
        self._send(Report(len(self._connections), [], sessions))

    def _authorized(self, connection: Connection, name: str) -> None:
        session = connection.session
        assert session is not None
        if len(session.workers) == 1:
            self._doorman.logged_in(connection.address)
        name, _ = self._tallies.of(name)
        miner = self._miners.setdefault(name, _Miner())
        miner.connections.pop(connection, None)
        miner.connections[connection] = None
        self._news("miner_connected", worker=name, peer=connection.address, user_agent=session.user_agent)

    # Once a second

    def tick(self) -> None:
        """To be called every second."""
        now = self.now()
        self._beat += 1
        if self._beat % 60 == 0:
            self._news_left = NEWS_A_MINUTE
        lacking = self._lacks_work()
        for connection in list(self._connections):
            if lacking:
                connection.close("no work from the node")
            elif (connection.number + self._beat) % SESSION_TICK_SECS == 0:
                connection.tick(now)
        self.report()

    def report(self) -> None:
        """Tell the daemon what changed."""
        miners = []
        for name, miner in self._miners.items():
            tally = self._tallies.by_name[name]
            newest = next(reversed(miner.connections), None)
            session = newest.session if newest else None
            difficulty = session.difficulty.announced if session else 0.0
            told = (tally.accepted, sum(tally.rejected.values()), len(miner.connections), difficulty, newest)
            if told != miner.told:
                miner.told = told
                miners.append(_miner_report(name, tally, miner, newest))
        sessions, self._sessions_gone = self._sessions_gone, []
        for session_id, connection in self._by_session.items():
            assert connection.session is not None
            held = _session_of(connection.session)
            assert held is not None
            seen = (held.last_seq, held.difficulty)
            if self._sessions_told.get(session_id) != seen:
                self._sessions_told[session_id] = seen
                sessions.append(held)
        self._send(Report(len(self._connections), miners, sessions))

    def _news(self, kind: str, **fields: str | int | float) -> None:
        """At most some a minute: a rack that comes back after a power cut is not worth thousands of lines."""
        self._news_left -= 1
        if self._news_left >= 0:
            self._send(News(kind, fields))


def _tls_of(listener: ListenerSetup) -> ssl.SSLContext:
    """Raises EngineError that names the files if they cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(listener.certificate, listener.key or None)
    except OSError as error:  # ssl.SSLError too
        files = " with ".join(filter(None, (listener.certificate, listener.key)))
        raise EngineError(
            f"{listener.url}: the TLS certificate {files} cannot be used: {error.strerror or error}",
            "name PEM files that this user can read, and whose key belongs to the certificate",
        ) from error
    return context


def _session_of(session: Session) -> Held | None:
    """What the daemon keeps of a session."""
    held = session.held
    if held is not None:
        held.difficulty = session.difficulty.announced
    return held


def _payouts(work: Work, audience: Audience) -> tuple[TxOut, ...]:
    """The configured payout, or the whole reward for the audience's own script."""
    if audience.script is not None:
        return (TxOut(work.coinbase_value, audience.script),)
    return tuple(TxOut(value, script) for script, value in work.outputs)


def _miner_report(name: str, tally: Tally, miner: _Miner, newest: Connection | None) -> MinerReport:
    session = newest.session if newest else None
    return MinerReport(
        name=name,
        accepted=tally.accepted,
        rejected=dict(tally.rejected),
        work=tally.difficulty_sum,
        best=DIFFICULTY_1_TARGET / max(tally.best_hash, 1) if tally.accepted else 0.0,
        connections=len(miner.connections),
        difficulty=session.difficulty.announced if session else 0.0,
        user_agent=session.user_agent if session else "",
        peer=newest.address if newest else "",
    )
