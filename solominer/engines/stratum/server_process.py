"""One process of the Stratum server, seen from the daemon: started, spoken to, started again when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from solominer.engines.pool.job_slot import anonymous_file
from solominer.engines.pool.processes import last_words, python_command
from solominer.engines.stratum.channel import (
    CannotListen,
    Frames,
    FromProcess,
    Listening,
    Quit,
    Relisten,
    Relistened,
    Setup,
    encode,
)
from solominer.errors import EngineError

START_SECS = 20.0
HANG_LOOKS = 20
"""After so many seconds without one of its reports, one a second, the process is killed."""

_FIRST_BACKOFF_SECS, _MAX_BACKOFF_SECS, _HEALTHY_SECS = 0.1, 10.0, 60.0
_READ_BYTES = 1 << 16

log = logging.getLogger(__name__)


class ServerProcess:
    """Owns the process; `take` gets what it says, but for what `start` and `relisten` wait for."""

    def __init__(self, take: Callable[[FromProcess], None]) -> None:
        self._take = take
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said = -1
        self._listening: asyncio.Future[Listening] | None = None
        self._relistened: asyncio.Future[Relistened] | None = None
        self._stopping = self._hung = False
        self.starts = 0

    @property
    def is_serving(self) -> bool:
        """Whether miners can connect at the moment."""
        listening = self._listening
        if listening is None or not listening.done() or listening.cancelled():
            return False
        return listening.exception() is None

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    async def start(self, setup: Setup) -> Listening:
        """Start it; where it listens. Raises EngineError if a listener cannot be opened or it does not start."""
        ours, theirs = socket.socketpair()
        self._said = anonymous_file("solominer-stratum-said")
        command, environment = python_command("solominer.engines.stratum")
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=theirs.fileno(), stdout=asyncio.subprocess.DEVNULL, stderr=self._said, env=environment
            )
        except OSError as error:
            ours.close()
            self._close()
            raise EngineError(f"the Stratum server cannot be started: {error}") from error
        finally:
            theirs.close()
        self._hung = False
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._listening = asyncio.get_running_loop().create_future()
        self.starts += 1
        self._writer.write(encode(setup))
        self._reading = asyncio.create_task(self._read(reader), name="stratum messages")
        try:
            async with asyncio.timeout(START_SECS):
                return await self._listening
        except TimeoutError:
            await self.kill()
            raise EngineError(f"the Stratum server was not ready after {START_SECS:.0f} s") from None
        except EngineError:
            await self.kill()
            raise

    async def run(self, start: Callable[[], Awaitable[None]], died: Callable[[int, str, float], None]) -> None:
        """Have it started again by `start` whenever it ends, until it is stopped.

        `died` hears its process id, why it ended, and after how many seconds it is started again.
        """
        backoff = _FIRST_BACKOFF_SECS
        while not self._stopping:
            began, pid = time.monotonic(), self.pid
            reason = await self._until_end()
            if self._stopping:
                break
            if time.monotonic() - began > _HEALTHY_SECS:
                backoff = _FIRST_BACKOFF_SECS
            died(pid, reason, backoff)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _MAX_BACKOFF_SECS)
            if not self._stopping:
                await self._restart(start, backoff)

    async def _restart(self, start: Callable[[], Awaitable[None]], backoff: float) -> None:
        while not self._stopping:
            try:
                await start()
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
        told = last_words(self._said)
        self._close()
        if self._hung:
            return f"was silent for {HANG_LOOKS} s"
        return (f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}") + told

    async def stop(self, timeout_secs: float) -> None:
        """Close all connections and end the process; by force after `timeout_secs`."""
        self._stopping = True
        self.send(encode(Quit()))
        if self._process is None:
            return
        try:
            async with asyncio.timeout(timeout_secs):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=1.0)
        self._close()

    async def kill(self) -> None:
        """End it at once."""
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

    # Messages

    def send(self, frame: bytes) -> None:
        """Send an encoded message; nothing while it does not serve."""
        if self._writer is not None and self.is_serving:
            self._writer.write(frame)

    async def relisten(self, wanted: Relisten) -> Relistened:
        """Have it listen as `wanted`. Waits for ever if it ends meanwhile."""
        self._relistened = asyncio.get_running_loop().create_future()
        self.send(encode(wanted))
        return await self._relistened

    async def _read(self, reader: asyncio.StreamReader) -> None:
        frames = Frames(FromProcess)
        with suppress(ConnectionError):  # it ended without having read everything
            while data := await self._next(reader):
                for message in frames.feed(data):
                    try:
                        self._receive(message)
                    except Exception:
                        log.exception("a message of the Stratum server failed; those that follow may be blocks")
        if self._listening is not None and not self._listening.done():
            self._listening.set_exception(EngineError("the Stratum server ended while it started"))

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        """What it says next; if it hangs, it is killed. Looks are counted, since we may have been suspended with it."""
        looks = 0
        while looks < HANG_LOOKS:
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    return await reader.read(_READ_BYTES)
            looks += self.is_serving
        if self._process is not None and self._process.returncode is None:
            self._hung = True
            self._process.kill()
        return await reader.read(_READ_BYTES)

    def _receive(self, message: FromProcess) -> None:
        listening, relistened = self._listening, self._relistened
        match message:
            case Listening():
                if listening and not listening.done():
                    listening.set_result(message)
            case CannotListen():
                if listening and not listening.done():
                    listening.set_exception(EngineError(message.problem, message.todo))
            case Relistened():
                if relistened and not relistened.done():
                    relistened.set_result(message)
            case _:
                self._take(message)
