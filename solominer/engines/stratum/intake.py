"""Shares that arrive alone: those of one turn of the event loop, of all connections, are checked together.

A share in a packet of its own is the usual case, and a call of compiled code for each would cost more than its hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from solominer.engines.stratum.batch import MAX_BYTES, MAX_PACKETS, NOTHING_TAKEN, Packet, Taken
from solominer.engines.stratum.jobs import JobBoard
from solominer.engines.stratum.session import Session
from solominer.engines.stratum.shares import ShareChecker

if TYPE_CHECKING:
    from solominer.engines.stratum.connection import Connection
    from solominer.engines.stratum.v2.session import V2Session

SMALL_BYTES = 1024
"""Larger packets are worth a call of their own, which also says how long they keep the server busy."""

_NO_PACKET = Packet(b"", None)


class Intake:
    """Holds small packets of miners until the loop has read all sockets; `now` is the clock, monotonic seconds.

    A connection has one packet here at most, so its answers leave in order. What is not plain about a packet is handed
    to its connection, and an error in one connection ends that one alone.
    """

    def __init__(self, checker: ShareChecker, board: JobBoard, now: Callable[[], float]) -> None:
        self._checker, self._board, self._now = checker, board, now
        self._waiting: dict[Connection, tuple[Session | V2Session, bytes]] = {}
        self._bytes = 0

    def takes(self, connection: Connection, data: bytes) -> bool:
        """Whether it keeps a packet of this connection until the end of the turn; an earlier one is answered first."""
        waiting, session = self._waiting, connection.session
        if connection in waiting:
            self.drain()
        if session is None or not session.is_mining or self._checker.batch is None:
            return False
        if len(data) > SMALL_BYTES or connection.closed_for:
            return False
        if not waiting:
            asyncio.get_running_loop().call_soon(self.drain)
        waiting[connection] = session, data
        self._bytes += len(data)
        if len(waiting) == MAX_PACKETS or self._bytes > MAX_BYTES - SMALL_BYTES:
            self.drain()
        return True

    def drain(self) -> None:
        """Judge and answer what is here. To be called before the work changes, or a connection goes."""
        if not self._waiting:
            return
        now, packets = self._now(), list(self._waiting.items())
        self._waiting.clear()
        self._bytes = 0
        batch = self._checker.batch
        plain = [session.plain(data) for _, (session, data) in packets]
        taken: Sequence[Taken] = [NOTHING_TAKEN] * len(packets)
        if batch is not None:
            parts = [Packet(each[1], each[0].aim) if each else _NO_PACKET for each in plain]
            taken = batch.take_each(parts, self._checker.duplicates.on(self._board.tip_le))
        for (connection, (session, data)), each, one in zip(packets, plain, taken, strict=True):
            try:
                if each is not None and one.lines:
                    connection.took(each[0], one, now)
                rest = session.left_of(data, one)
                if rest is not None:
                    connection.receive(rest)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                context = {"message": f"a packet of {connection.address}", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
                connection.abort("an error of this server, see its log")
