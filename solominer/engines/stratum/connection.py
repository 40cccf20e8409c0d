"""One connection of a miner: the socket around a session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from solominer.engines.stratum import messages
from solominer.engines.stratum.events import Authorized, BlockFound, Output
from solominer.engines.stratum.messages import StratumError
from solominer.engines.stratum.proxy_protocol import ProxyHeader
from solominer.engines.stratum.session import Session
from solominer.engines.stratum.shared import Shared
from solominer.errors import DecodeError

if TYPE_CHECKING:
    from solominer.engines.stratum.server import Server

LAST_WORDS_SECS = 5.0
"""How long a connection is still listened to after another one resumed its session: a block may be on its way."""

MAX_BUFFERED_BYTES = 1 << 20
SLOW_READER_SECS = 30.0
_MOST_PAUSE_SECS = 5.0


class Connection(asyncio.Protocol):
    """Moves bytes between a socket and its session; whatever the session says beyond that goes to the server."""

    __slots__ = (
        "_proxies", "_proxy", "_server", "_shared", "_slow_since", "_transport",
        "address", "closed_for", "logged_in", "number", "opened_at", "session", "taken_over",
    )  # fmt: skip

    def __init__(self, server: Server, shared: Shared, proxies: frozenset[str]) -> None:
        self._server, self._shared, self._proxies = server, shared, proxies
        self._transport: asyncio.Transport | None = None
        self._proxy: ProxyHeader | None = None
        self._slow_since: float | None = None
        self.session: Session | None = None
        self.address = ""
        self.logged_in = self.taken_over = False
        self.closed_for = ""
        self.opened_at = 0.0
        self.number = 0

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else "unix"
        if address in self._proxies:
            self._proxy = ProxyHeader()
        else:
            self._begin(address)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
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
        if self.session is not None and data and not self.closed_for:
            self.carry_out(self.session.receive(data, self._server.now()))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self.session is not None:
            self._server.left(self, exc)
        self._transport = None

    def pause_writing(self) -> None:
        """The client does not read what it is sent."""
        self._slow_since = self._server.now()

    def resume_writing(self) -> None:
        """It does again."""
        self._slow_since = None

    # The session

    def _begin(self, address: str) -> None:
        self.address = address
        refused = self._server.admit(self)
        if refused:
            self._send(messages.reply_error(b"null", StratumError(20, refused)))
            self.close(refused)
            return
        self.opened_at = self._server.now()
        self.session = Session(self._shared, self.opened_at)

    def carry_out(self, output: Output) -> None:
        """Do what the session wants: blocks first, then the bytes, then everything else."""
        events = output.events
        for event in events:
            if isinstance(event, BlockFound):
                self._server.event(self, event)
        if output.data:
            self._send(output.data)
        for event in events:
            if isinstance(event, Authorized):
                self.logged_in = True
            if not isinstance(event, BlockFound):
                self._server.event(self, event)
        if output.close:
            self.close(output.close)
        elif output.pause_secs and self._transport is not None:
            self._transport.pause_reading()
            delay = min(output.pause_secs, _MOST_PAUSE_SECS)
            asyncio.get_running_loop().call_later(delay, self._read_on)

    def tick(self, now: float) -> None:
        """Time passed."""
        if self._slow_since is not None and now - self._slow_since > SLOW_READER_SECS:
            self.abort("it does not read what it is sent")
        elif self.session is not None and not self.closed_for and not self.taken_over:
            self.carry_out(self.session.tick(now))

    def work_changed(self, now: float) -> None:
        """There is other work."""
        if self.session is not None and not self.closed_for and not self.taken_over:
            self.carry_out(self.session.work_changed(now))

    def retire(self, reason: str) -> None:
        """Another connection has this one's session: it gets no more jobs, and is closed after its last words."""
        self.taken_over = True
        if self.session is not None:
            self.session.is_mining = False
        asyncio.get_running_loop().call_later(LAST_WORDS_SECS, self.close, reason)

    def close(self, reason: str) -> None:
        """Send what is waiting, then close."""
        self.closed_for = self.closed_for or reason
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once."""
        self.closed_for = self.closed_for or reason
        if self._transport is not None:
            self._transport.abort()

    def _send(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if self._slow_since is not None and transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            self.abort("it does not read what it is sent")

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
