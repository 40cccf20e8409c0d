"""Servers for tests on real sockets: one that is built on the sessions, and any that misbehave. Each has a thread."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from solominer.engines.stratum.events import AddressWanted, BlockAccepted
from solominer.engines.stratum.messages import reply_true
from solominer.engines.stratum.session import Session
from solominer.engines.stratum.shared import Shared
from solominer.engines.stratum.work import Work

TICK_SECS = 0.05


class StratumServer:
    """Sessions of `shared` behind a listening socket; `port` is where. `addresses` are those that can be paid."""

    def __init__(
        self, shared: Shared, *, tls: ssl.SSLContext | None = None, addresses: dict[str, bytes] | None = None
    ) -> None:
        self.shared = shared
        self.port = 0
        self._tls = tls
        self._addresses = addresses or {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: dict[Session, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def publish(self, work: Work) -> None:
        """New work for every miner; returns when it is sent."""
        asyncio.run_coroutine_threadsafe(self._publish(work), self._loop).result(10)

    def ask_all(self, line: bytes) -> None:
        """Send a line to every miner."""

        async def send() -> None:
            for writer in self._open.values():
                writer.write(line)

        asyncio.run_coroutine_threadsafe(send(), self._loop).result(10)

    async def _publish(self, work: Work) -> None:
        now = time.monotonic()
        self.shared.board.publish(work, now)
        for session, writer in list(self._open.items()):
            writer.write(session.work_changed(now).data)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open.values():
            writer.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(rest, timeout=5) if rest else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self.shared, time.monotonic())
        self._open[session] = writer
        ticking = asyncio.create_task(self._tick(session, writer))
        try:
            while data := await reader.read(65536):
                output = session.receive(data, time.monotonic())
                writer.write(output.data)
                for event in output.events:
                    if isinstance(event, BlockAccepted):
                        writer.write(reply_true(event.id_json))
                    if isinstance(event, AddressWanted):
                        script = self._addresses.get(event.address)
                        resolved = session.address_resolved(
                            event.address, script, "" if script else "no address of this network", time.monotonic()
                        )
                        writer.write(resolved.data)
                if output.close:
                    break
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            ticking.cancel()
            del self._open[session]
            session.closed(time.monotonic())
            writer.close()

    async def _tick(self, session: Session, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(TICK_SECS)
            writer.write(session.tick(time.monotonic()).data)


class RudeServer:
    """Hands every connection to `behave`, one after the other, and hangs up when it returns."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.1)
        self.port: int = self._listening.getsockname()[1]
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self._thread.join(10)
        self._listening.close()

    def _run(self) -> None:
        while not self.ending.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                with suppress(OSError):
                    self._behave(connection)
