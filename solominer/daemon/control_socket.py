"""The control socket: a Unix socket on which the running daemon answers requests of its user.

Requests and replies are JSON objects, one per line: `{"do": "status"}` is answered by `{"ok": true, ...}` or
`{"ok": false, "error": ..., "todo": ...}`. Access is controlled by file permissions. The path of a Unix socket is
limited to about 100 bytes: if data_dir's is longer, the socket is in another folder, and a file in data_dir names it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from solominer.chain.fields import Field, decode
from solominer.errors import BadValue, NotRunning, RecordsError, SolominerError

log = logging.getLogger("solominer.daemon.control_socket")

SOCKET_NAME = "control.sock"
POINTER_NAME = "control.path"
MAX_PATH_BYTES = 100
MAX_LINE_BYTES = 1 << 20
IDLE_SECS = 30.0

Handler = Callable[[Field], dict[str, Any] | Awaitable[dict[str, Any]]]
"""Answers one request; a SolominerError becomes `error` and `todo` of the reply."""


class ControlServer:
    """Control socket of the daemon with records in `folder` (`data_dir/<network>`), which must hold its lock."""

    def __init__(self, folder: Path, handlers: dict[str, Handler]) -> None:
        self._folder = folder.absolute()
        self._handlers = handlers
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
            async with server:
                await server.serve_forever()
        finally:
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
        try:
            while True:
                line = await asyncio.wait_for(reader.readline(), IDLE_SECS)
                if not line:
                    break
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError):  # disconnected, idle, or an overlong line
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = Field(decode(line), "the request")
            handler = self._handlers.get(request["do"].text())
            if handler is None:
                return {"ok": False, "error": "unknown request", "todo": f"use one of {', '.join(self._handlers)}"}
            answer = handler(request)
            return {"ok": True, **(await answer if isinstance(answer, Awaitable) else answer)}
        except BadValue as error:
            return {"ok": False, "error": f"invalid request: {error.what}", "todo": 'send {"do": "status"}'}
        except SolominerError as error:
            return {"ok": False, "error": error.what, "todo": error.todo}


def ask(folder: Path, request: dict[str, Any], timeout_secs: float = 10.0) -> dict[str, Any]:
    """Send a request to the daemon with records in `folder`. Raises NotRunning, or SolominerError from its reply."""
    path = _found_socket(folder)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_secs)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply = Field(decode(stream.readline(MAX_LINE_BYTES)), "the reply")
                is_ok = reply["ok"].flag()
    except PermissionError as error:
        raise NotRunning(f"{path} belongs to another user", "run this as the user of the daemon") from error
    except (OSError, BadValue) as error:
        raise NotRunning(f"no daemon is running for {folder}", "start it with `solominer run`") from error
    if not is_ok:
        raise SolominerError(reply["error"].text(10_000), reply["todo"].text(10_000))
    return {key: member.value for key, member in reply.members()}


def running_in(data_dir: Path) -> Path | None:
    """The folder in `data_dir` with a running daemon, or None."""
    for folder in sorted(path for path in data_dir.glob("*") if path.is_dir()):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(_found_socket(folder)))
            return folder
    return None


def socket_path(folder: Path) -> Path:
    """The socket's path for `folder`: inside it if short enough, else in a private folder of this user."""
    path = folder.absolute() / SOCKET_NAME
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        return path
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parent = Path(runtime) / "solominer" if runtime else Path(tempfile.gettempdir()) / f"solominer-{os.getuid()}"
    return parent / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.sock"


def _found_socket(folder: Path) -> Path:
    """The path in the pointer file, as the daemon may have other environment variables."""
    try:
        return Path((folder / POINTER_NAME).read_text().strip())
    except OSError:
        return socket_path(folder)


def _make_private(folder: Path) -> None:
    """Restrict a folder in a shared directory to this user. Raises RecordsError if it belongs to another user."""
    folder.chmod(0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise RecordsError(f"{folder} belongs to another user", "remove it, or set XDG_RUNTIME_DIR")
