"""The client of the daemon's control socket, and where that socket is.

Requests and replies are JSON objects, one per line: `{"do": "status"}` is answered by `{"ok": true, ...}` or
`{"ok": false, "error": ..., "todo": ...}`. The path of a Unix socket is limited to about 100 bytes: if data_dir's is
longer, the socket is in another folder, and a file in data_dir names it.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from solominer.chain.fields import Field, decode
from solominer.errors import BadValue, NotRunning, SolominerError
from solominer.records.lock import user_of

SOCKET_NAME = "control.sock"
POINTER_NAME = "control.path"
MAX_PATH_BYTES = 100
MAX_LINE_BYTES = 1 << 20
TIMEOUT_SECS = 10.0


def ask(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Send a request to the daemon with records in `folder`. Raises NotRunning, or SolominerError from its reply."""
    path = found_socket(folder)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_SECS)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply = Field(decode(stream.readline(MAX_LINE_BYTES)), "the reply")
                is_ok = reply["ok"].flag()
    except PermissionError as error:
        raise NotRunning(f"{path} belongs to another user", "run this as the user of the daemon") from error
    except (OSError, BadValue) as error:
        raise _nobody(folder) from error
    if not is_ok:
        raise SolominerError(reply["error"].text(10_000), reply["todo"].text(10_000))
    return {key: member.value for key, member in reply.members()}


def _nobody(folder: Path) -> NotRunning:
    """Why nobody answers for the records in `folder`."""
    if pid := user_of(folder.parent) or user_of(folder):
        return NotRunning(
            f"the daemon with pid {pid} uses {folder.parent}, but does not answer for {folder.name}: "
            "it is still starting (it may be waiting for its node), or runs in another mode",
            "see its log; `solominer doctor` says what is wrong with the node",
        )
    return NotRunning(f"no daemon is running for {folder}", "start it with `solominer run`")


def running_in(data_dir: Path) -> Path | None:
    """The folder in `data_dir` with a running daemon, or None."""
    for folder in sorted(path for path in data_dir.glob("*") if path.is_dir()):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(found_socket(folder)))
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


def found_socket(folder: Path) -> Path:
    """The socket of the daemon with records in `folder`. A pointer file names it: environments may differ."""
    try:
        return Path((folder / POINTER_NAME).read_text().strip())
    except OSError:
        return socket_path(folder)
