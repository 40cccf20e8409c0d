"""One connection of a miner: the socket around a session."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, cast

from solominer.engines.stratum import messages
from solominer.engines.stratum.batch import Taken
from solominer.engines.stratum.events import Authorized, BlockFound, Output
from solominer.engines.stratum.extranonces import Held
from solominer.engines.stratum.lines import Spoken, spoken_in
from solominer.engines.stratum.listener import Listener
from solominer.engines.stratum.messages import StratumError
from solominer.engines.stratum.plain_shares import Aimed
from solominer.engines.stratum.proxy_protocol import ProxyHeader
from solominer.engines.stratum.session import Session
from solominer.errors import DecodeError

if TYPE_CHECKING:
    from solominer.engines.stratum.server import Server
    from solominer.engines.stratum.v2.session import V2Session

LAST_WORDS_SECS = 5.0
"""How long a connection is still listened to after another one resumed its session: a block may be on its way."""

LAST_SHARES_SECS = 0.2
"""How long a miner is listened to and answered before its connection is closed: shares may be on their way."""

LAST_BLOCKS_SECS = 0.2
"""How long it is still read from after it was told the end, or until it closes too: a block may be on its way."""

LONG_TURN_SECS = 0.05
"""A connection that kept the server busy for longer is not read from for as long again, so others have half of it."""

MAX_BUFFERED_BYTES = 1 << 20
SLOW_READER_SECS = 30.0
PROXY_HEADER_SECS = 10.0
FIRST_BYTES_SECS = 5.0
"""After this what may be the beginning of a V2 handshake is read as V1's, so that whoever types it hears something."""

_V2_ALONE = "This port speaks Stratum V2 alone: use stratum2+tcp:// with the key that solominer status shows"
_MOST_PAUSE_SECS = 5.0


class Connection(asyncio.Protocol):
    """Moves bytes between a socket and its session; whatever the session says beyond that goes to the server."""

    __slots__ = (
        "_closed_at", "_first", "_proxy", "_said_all", "_server", "_slow_since", "_transport", "address", "at_fault",
        "closed_for", "listener", "logged_in", "number", "opened_at", "session", "taken_over",
    )  # fmt: skip

    def __init__(self, server: Server, listener: Listener) -> None:
        self._server, self.listener = server, listener
        self._transport: asyncio.Transport | None = None
        self._proxy: ProxyHeader | None = None
        self._slow_since: float | None = None
        self._first: bytes | None = None
        """What came while it is open which protocol this is; None once that is known."""
        self.session: Session | V2Session | None = None
        self.address = ""
        self.logged_in = self.taken_over = self._said_all = False
        self.closed_for = ""
        self.at_fault = False
        self._closed_at: float | None = None
        self.opened_at = 0.0
        self.number = 0

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else "unix"
        self.opened_at = self._server.now()
        if address in self.listener.proxies:
            self._proxy = ProxyHeader()
            self._server.await_header(self)
        else:
            self._begin(address)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._server.intake.takes(self, data):
            return
        if self._proxy is not None:
            try:
                rest = self._proxy.feed(data)
            except DecodeError as error:
                self.close(error.what)
                return
            if rest is None:
                return
            address, self._proxy = self._proxy.address, None
            self._begin(address or "proxy")
            data = rest
        if data:
            self.receive(data)

    def receive(self, data: bytes) -> None:
        """Have the session read bytes."""
        if self._first is not None:
            data = self._first + data
            if not self._is_decided(data):
                return
        if self.session is not None:
            began = self._server.now()
            output = self.session.receive(data, began)
            self.carry_out(output)
            took_secs = self._server.now() - began
            self._pause(max(output.pause_secs, took_secs if took_secs > LONG_TURN_SECS else 0.0))

    def took(self, aimed: Aimed, taken: Taken, now: float) -> None:
        """Shares at the beginning of a packet were taken for the session."""
        if self.session is not None:
            output = self.session.took(aimed, taken, now)
            self.carry_out(output)
            if output.pause_secs:
                self._pause(output.pause_secs)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._server.intake.drain()
        self._server.left(self, exc)
        self._transport = None

    def pause_writing(self) -> None:
        """The client does not read what it was sent."""
        self._slow_since = self._server.now()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._slow_since = None

    # The session

    def _begin(self, address: str) -> None:
        self.address = address
        refused = self._server.admit(self)
        if refused:
            self.send(messages.reply_error(b"null", StratumError(20, refused)))
            self.close(refused)
            return
        self.session = Session(self.listener.shared, self.opened_at)
        if self._server.identity is not None and self.listener.setup.speaks_v2:
            self._first = b""

    def _is_decided(self, first: bytes, *, now_at_last: bool = False) -> bool:
        """Whether it is known from its first bytes what it speaks; then the session is one of that."""
        spoken = spoken_in(first) or (Spoken.V1 if now_at_last else None)
        self._first = first if spoken is None else None
        if spoken is Spoken.V2:
            self.session = self._server.v2_session(self.listener.shared, self.opened_at)
        elif spoken is Spoken.V1 and self.listener.setup.v2 == "only":
            self.send(messages.reply_error(b"null", StratumError(20, _V2_ALONE)))
            self.close("Stratum V1 on a port for V2 alone")
            return False
        return spoken is not None

    def carry_out(self, output: Output) -> None:
        """Do what the session wants: blocks first, then the bytes, then everything else."""
        data, events = output.data, output.events
        for event in events:
            if isinstance(event, BlockFound):
                self._server.event(self, event)
        if data:
            self.send(data)
        for event in events:
            if not isinstance(event, BlockFound):
                self._server.event(self, event)
            if isinstance(event, Authorized):
                self.logged_in = True
        if output.close:
            self.at_fault = True
            self.close(output.close)

    def tick(self, now: float) -> None:
        """Time passed."""
        since = self._slow_since if self._closed_at is None else self._closed_at
        if since is not None and now - since > SLOW_READER_SECS:
            self.abort("it does not read what it is sent")
        elif self._proxy is not None and now - self.opened_at > PROXY_HEADER_SECS:
            self.abort("no PROXY header")
        elif self.session is not None and not self.closed_for and not self.taken_over:
            first = self._first
            if first and now - self.opened_at > FIRST_BYTES_SECS and self._is_decided(first, now_at_last=True):
                self.receive(first)
            self.carry_out(self.session.tick(now))

    def work_changed(self, now: float) -> None:
        """There is other work."""
        if self.session is not None and not self.closed_for and not self.taken_over:
            self.carry_out(self.session.work_changed(now))

    def limits_changed(self, now: float) -> None:
        """The listener has other bounds of difficulty."""
        if self.session is not None and not self.closed_for and not self.taken_over:
            self.carry_out(self.session.limits_changed(now))

    def answer_block(self, id_json: bytes, error: StratumError | None) -> None:
        """Answer a block that waited for the disk; `error` is why it is refused."""
        if self.session is not None:
            self.send(self.session.block_answer(id_json, error))

    def retire(self, reason: str) -> None:
        """Another connection has this one's session: it gets no more jobs, and is closed after its last words."""
        self.taken_over = True
        if isinstance(self.session, Session):
            self.session.is_mining = False
        asyncio.get_running_loop().call_later(LAST_WORDS_SECS, self.close, reason)

    def close(self, reason: str) -> None:
        """Send what is waiting, then close; a miner's last shares are answered first."""
        transport = self._transport
        if self.closed_for or transport is None:
            return
        self._server.intake.drain()
        self.closed_for, self._closed_at = reason, self._server.now()
        if self.logged_in:
            transport.resume_reading()
            asyncio.get_running_loop().call_later(LAST_SHARES_SECS, self._say_end)
        else:
            transport.close()

    def _say_end(self) -> None:
        """Nothing more is said. What still comes is read, so that no reset takes what was said before."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._said_all = True
        if transport.can_write_eof():
            transport.write_eof()
            asyncio.get_running_loop().call_later(LAST_BLOCKS_SECS, transport.close)
        else:
            transport.close()

    def abort(self, reason: str) -> None:
        """Close at once."""
        self.closed_for = self.closed_for or reason
        if self._transport is not None:
            self._transport.abort()

    def send(self, data: bytes) -> None:
        """Send bytes, unless it is closed or closes."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._said_all:
            return
        transport.write(data)
        if transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            self.abort("it does not read what it is sent")

    def _pause(self, secs: float) -> None:
        """Read nothing for so long, at most _MOST_PAUSE_SECS."""
        if secs and self._transport is not None and not self.closed_for:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(min(secs, _MOST_PAUSE_SECS), self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def session_of(session: Session | V2Session) -> Held | None:
    """What the daemon keeps of a session that can be resumed."""
    if not isinstance(session, Session) or session.held is None:
        return None
    session.held.difficulty = session.difficulty.announced
    return session.held


def connection_record(connection: Connection, now: float) -> dict[str, str | int | float]:
    """Of a logged-in connection: its first worker, how long it was open, shares, hash rate with its interval.

    The rate is left out where several channels have difficulties of their own.
    """
    session = connection.session
    assert session is not None
    proven = session.difficulty if isinstance(session, Session) else session
    rate, low, high = proven.rate_interval_hps(now)
    record: dict[str, str | int | float] = {
        "worker": next((each.name for each in session.workers.values()), "(no channel)"),
        "user_agent": session.user_agent,
        "secs": round(now - connection.opened_at, 1),
        "shares": proven.shares,
    }
    return record | ({"rate_hps": rate, "rate_low_hps": low, "rate_high_hps": high} if high < math.inf else {})
