"""A control socket that streams a status which the test changes, and a web server process that follows it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from solominer.config.web import WebConfig
from solominer.records.control_client import socket_path
from solominer.views.snapshot import Snapshot, encode
from solominer.web.setup import WebSetup
from tests.ports import free_port
from tests.web import sample

EVERY_SECS = 0.2


class FakeDaemon:
    """Answers `watch` with `snapshot`, five times a second, and keeps the other requests in `requests`.

    `running` False: connections are closed and new ones refused, as by a daemon that ended.
    """

    def __init__(self, folder: Path) -> None:
        self.snapshot: Snapshot = sample.snapshot(time.time())
        self.requests: list[dict[str, Any]] = []
        self._folder = folder
        self._listener: socket.socket | None = None
        self._generation = 0

    def start(self) -> None:
        """Listen."""
        path = socket_path(self._folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen()
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener, self._generation), daemon=True).start()

    def stop(self) -> None:
        """End as a daemon does: the socket is gone, connections are closed."""
        self._generation += 1
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            socket_path(self._folder).unlink(missing_ok=True)
            self._listener = None

    def _accept(self, listener: socket.socket, generation: int) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection, generation), daemon=True).start()

    def _serve(self, connection: socket.socket, generation: int) -> None:
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as lines:
            request = json.loads(lines.readline())
            if request["do"] != "watch":
                self.requests.append(request)
                connection.sendall(b'{"ok":true,"pauses":[]}\n')
                return
            while generation == self._generation:
                connection.sendall(b'{"ok":true,"status":' + encode(self.snapshot) + b"}\n")
                time.sleep(EVERY_SECS)


@contextmanager
def web_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """A process of `solominer.web` for the records in `folder`; yields its address, with a slash at the end."""
    setup = WebSetup(
        folder=folder, network="mainnet", simulated=True, web=WebConfig(listen=f"127.0.0.1:{port or free_port()}")
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "solominer.web"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(setup.model_dump_json() + "\n")
        process.stdin.flush()
        while "url" not in (message := json.loads(process.stdout.readline())):
            assert "error" not in message, message
        yield message["url"]
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()
