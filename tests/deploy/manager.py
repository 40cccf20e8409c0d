"""A small service manager for tests: notification socket, watchdog, restart on failure, as systemd does them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

REPO = Path(__file__).parents[2]
SOLOMINER = (sys.executable, "-m", "solominer")

Message = dict[str, str]


class ServiceManager:
    """Runs `argv` with a notification socket; restarts it where it ends badly or its watchdog bites.

    `starts` counts how often it was started, `messages` holds everything it said in this start, `log` all its output.
    """

    def __init__(self, argv: Sequence[str], folder: Path, *, watchdog_secs: float | None = None) -> None:
        self.argv = list(argv)
        self.watchdog_secs = watchdog_secs
        self.starts = 0
        self.messages: list[Message] = []
        self.log = folder / "daemon.log"
        self._name = f"\0solominer-test-{os.getpid()}-{id(self)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._name)
        self._process: subprocess.Popen[bytes] | None = None
        self._last_beat = 0.0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._socket.close()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The daemon of the last start."""
        assert self._process is not None
        return self._process

    def _start(self) -> None:
        environ = dict(os.environ, NOTIFY_SOCKET="@" + self._name[1:], SOLOMINER_CACHE=str(REPO / ".cache"))
        if self.watchdog_secs is not None:
            environ["WATCHDOG_USEC"] = str(int(self.watchdog_secs * 1e6))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                cwd=REPO,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # without a terminal, as a service
            )
        self.starts += 1
        self.messages = []

    def until(self, holds: Callable[[], object], timeout_secs: float = 90.0) -> None:
        """Manage the service until it holds; looked at after every message and at least ten times a second."""
        deadline = time.monotonic() + timeout_secs
        while not holds():
            assert time.monotonic() < deadline, f"it did not come about; the end of the log:\n{self.tail()}"
            self._receive()
            if self.process.poll() not in (None, 0):
                self._start()
            elif self._is_overdue():
                self.process.kill()
                self.process.wait()

    def said(self, key: str) -> bool:
        """Whether the daemon of this start has sent this key."""
        return any(key in message for message in self.messages)

    def terminate(self, timeout_secs: float = 60.0) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_secs)
        while self._receive():
            pass
        return code

    def tail(self, size: int = 3000) -> str:
        """The end of the daemon's output."""
        return self.log.read_text(errors="replace")[-size:]

    def _receive(self) -> bool:
        self._socket.settimeout(0.1)
        try:
            text = self._socket.recv(65536).decode()
        except TimeoutError:
            return False
        message = dict(line.split("=", 1) for line in text.splitlines())
        self.messages.append(message)
        if "READY" in message or "WATCHDOG" in message:
            self._last_beat = time.monotonic()
        return True

    def _is_overdue(self) -> bool:
        if self.watchdog_secs is None or not self.said("READY"):
            return False
        return time.monotonic() - self._last_beat > self.watchdog_secs
