"""The Stratum process: `python -m solominer.engines.stratum`, started by the daemon and ended with it.

Its standard input is one end of a socket pair (`channel`). With uvloop where that is installed, else with asyncio's own
loop. Shares are checked with hashlib until the compiled check is loaded, so that miners are served at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from solominer.engines.pool.processes import die_with, leave_signals_to_parent
from solominer.engines.stratum.batch import Batch
from solominer.engines.stratum.channel import (
    AddressAnswer,
    CannotListen,
    Elsewhere,
    Frames,
    FromProcess,
    Listening,
    Publish,
    Quit,
    Relisten,
    Saved,
    Setup,
    ToProcess,
    Withdraw,
    encode,
)
from solominer.engines.stratum.server import Server
from solominer.engines.stratum.validate import load_validator
from solominer.engines.stratum.work import OWN_SPLIT
from solominer.errors import EngineError

TICK_SECS = 1.0
LAST_BYTES_SECS = 0.2
GARBAGE_AFTER = 50_000
"""New objects after which Python looks for garbage. Closed connections leave next to none in cycles, and
with Python's own 700 it took a sixth of the time in which thousands of miners connect."""

log = logging.getLogger(__name__)


class _Channel(asyncio.Protocol):
    """The daemon at the other end."""

    def __init__(self) -> None:
        self._frames = Frames(ToProcess)
        self._transport: Any = None
        self._server: Server | None = None
        self.setup: asyncio.Future[Setup] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._take(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def send(self, message: FromProcess) -> None:
        """Tell the daemon."""
        self._transport.write(encode(message))

    async def flush(self) -> None:
        """Wait until the daemon has what it was told, but not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_BYTES_SECS):
                await asyncio.sleep(0)  # the loop may write at the end of its turn
                while self._transport.get_write_buffer_size():
                    await asyncio.sleep(0.01)

    def serve_with(self, server: Server) -> None:
        """From now on messages are for this server."""
        self._server = server

    def _take(self, message: ToProcess) -> None:
        server = self._server
        match message:
            case Setup():
                self.setup.set_result(message)
            case Quit():
                self.ended.set()
            case Publish() if server:
                server.publish(message)
            case Withdraw() if server:
                server.withdraw()
            case Relisten() if server:
                task = asyncio.create_task(self._relisten(server, message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Elsewhere() if server:
                server.sessions_elsewhere(message.sessions)
            case AddressAnswer() if server:
                server.address_answered(message)
            case Saved() if server:
                server.unsaved.saved(message.hash_le)

    async def _relisten(self, server: Server, wanted: Relisten) -> None:
        self.send(await server.relisten(wanted))


async def _serve() -> int:
    loop = asyncio.get_running_loop()
    daemon = socket.socket(fileno=os.dup(0))
    _, channel = await loop.create_connection(_Channel, sock=daemon)
    setup = await channel.setup
    die_with(setup.parent_pid)
    server = Server(setup, channel.send)
    try:
        bound = await server.open()
    except EngineError as error:
        channel.send(CannotListen(error.what, error.todo))
        await channel.flush()
        return 1
    channel.serve_with(server)
    channel.send(Listening(bound))
    cache_dir = Path(setup.cache_dir) if setup.cache_dir else None
    if setup.split == OWN_SPLIT:  # the compiled code reads and hashes no other
        threading.Thread(target=_load_validator, args=(loop, server, cache_dir), name="validator", daemon=True).start()
    while not channel.ended.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(channel.ended.wait(), TICK_SECS)
        server.tick()
    await server.close()
    await channel.flush()
    return 0


def _load_validator(loop: asyncio.AbstractEventLoop, server: Server, cache_dir: Path | None) -> None:
    """Have shares checked by compiled code as soon as it is there."""
    try:
        validator = load_validator(cache_dir, log.info)
    except Exception:  # whatever keeps it from loading, hashlib goes on
        log.warning("shares are checked with hashlib: the compiled check does not load", exc_info=True)
        return
    if validator is not None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(server.checker.use, Batch(validator))


def main() -> int:
    """Serve until the daemon says so, or is gone."""
    leave_signals_to_parent()
    gc.set_threshold(GARBAGE_AFTER, 10, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve())
