"""The control socket: a Unix socket on which the running daemon answers requests of its user.

`records/control_client.py` describes requests and replies. Access is controlled by file permissions.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from solominer.chain.fields import Field, decode
from solominer.errors import BadValue, RecordsError, SolominerError
from solominer.records.control_client import MAX_LINE_BYTES, POINTER_NAME, socket_path

log = logging.getLogger("solominer.daemon.control_socket")

IDLE_SECS = 30.0

Handler = Callable[[Field], dict[str, Any] | Awaitable[dict[str, Any]]]
"""Answers one request; a SolominerError becomes `error` and `todo` of the reply."""

Stream = Callable[[Field], AsyncIterator[bytes]]
"""Answers one request with lines until the client disconnects."""


class ControlServer:
    """Control socket of the daemon with records in `folder` (`data_dir/<network>`), which must hold its lock."""

    def __init__(
        self, folder: Path, handlers: Mapping[str, Handler], streams: Mapping[str, Stream] | None = None
    ) -> None:
        self._folder = folder.absolute()
        self._handlers, self._streams = handlers, streams or {}
        self._connections: set[asyncio.Task[None]] = set()
        self.path = socket_path(folder)

    async def run(self) -> None:
        """Serve until cancelled. If the socket cannot be created, log a warning."""
        try:
            server = await self._listen()
        except (OSError, RecordsError) as error:
            log.warning("no control socket: %s; status, pause, resume and reload will not work", error)
            await asyncio.Event().wait()
            return
        try:
            await server.serve_forever()
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            self._remove()

    async def _listen(self) -> asyncio.Server:
        self._remove()  # left by a killed run: the lock ensures that no other daemon uses it
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.parent != self._folder:
            _make_private(self.path.parent)
            (self._folder / POINTER_NAME).write_text(f"{self.path}\n")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # never accessible to other users
        try:
            listener.bind(str(self.path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        return await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_LINE_BYTES)

    def _remove(self) -> None:
        for path in (self.path, self._folder / POINTER_NAME):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                async with asyncio.timeout(IDLE_SECS):
                    line = await reader.readline()
                if not line:
                    break
                stream = self._stream(line)
                if stream is not None:
                    async for part in stream:
                        writer.write(part)
                        async with asyncio.timeout(IDLE_SECS):
                            await writer.drain()
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError):  # disconnected, idle, or an overlong line
            pass
        except asyncio.CancelledError:  # the server is closed
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    def _stream(self, line: bytes) -> AsyncIterator[bytes] | None:
        """The stream that this request asks for; None for other requests, and for those that are invalid."""
        with suppress(BadValue):
            request = Field(decode(line), "the request")
            stream = self._streams.get(request["do"].text())
            return None if stream is None else stream(request)
        return None

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = Field(decode(line), "the request")
            handler = self._handlers.get(request["do"].text())
            if handler is None:
                return {
                    "ok": False,
                    "error": "unknown request",
                    "todo": f"use one of {', '.join([*self._handlers, *self._streams])}",
                }
            answer = handler(request)
            return {"ok": True, **(await answer if isinstance(answer, Awaitable) else answer)}
        except BadValue as error:
            return {"ok": False, "error": f"invalid request: {error.what}", "todo": 'send {"do": "status"}'}
        except SolominerError as error:
            return {"ok": False, "error": error.what, "todo": error.todo}


def _make_private(folder: Path) -> None:
    """Restrict a folder in a shared directory to this user. Raises RecordsError if it belongs to another user."""
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise RecordsError(f"{folder} belongs to another user", "remove it, or set XDG_RUNTIME_DIR")
    folder.chmod(0o700)
