"""The daemon as a real process: started, read line by line, killed at a chosen step, started again."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.faults.launch import LAYOUT

CLONE = Path(__file__).parents[2]
PATIENCE_SECS = 60.0
"""How long a step that must come may take on a machine that is busy, or has yet to compile its kernels."""
FOUND = re.compile(r"BLOCK FOUND at height (\d+): ([0-9a-f]{64})")
ACCEPTED = re.compile(r"block (\d+) ([0-9a-f]{64}) is accepted")


class DaemonEnded(AssertionError):
    """The daemon ended where it should have gone on, or did not do in time what it should."""


class Daemon:
    """`solominer run` with one configuration file; a new process at each `start`.

    `lines` are all lines of all its processes; `on_line` are called with each, in the reader's thread.
    """

    def __init__(self, config: Path, control: Path) -> None:
        self.lines: list[str] = []
        self.on_line: list[Callable[[str], None]] = []
        self.exit_codes: list[int] = []
        self._config, self._control = config, control
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._news = threading.Condition()
        self.set_control()

    def set_control(self, clock_offset_secs: float = 0.0, disk: int = 0) -> None:
        """Move its wall clock, change its disk; see `launch`."""
        if not self._control.exists():
            self._control.write_bytes(LAYOUT.pack(0.0, 0))
        with self._control.open("r+b") as file:  # in place: the daemon has it mapped
            file.write(LAYOUT.pack(clock_offset_secs, disk))

    @property
    def pid(self) -> int:
        """Of the process that runs. Raises DaemonEnded if none does."""
        if not self.is_running():
            raise DaemonEnded(f"the daemon does not run; it ended with {self.exit_codes or 'nothing yet'}")
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start a process; the one before must have ended."""
        self.wait_end() if self._process else None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.launch", self._control, "run", "--config", self._config, "--plain"],
            cwd=CLONE,
            env={"SOLOMINER_CACHE": str(CLONE / ".cache"), **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """SIGKILL, now; may be called from any thread, also when it has ended already."""
        process = self._process
        if process is not None:
            process.kill()

    def terminate(self) -> None:
        """SIGTERM, now."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait_end(self, timeout_secs: float = 30.0) -> int:
        """Wait for its end and give its exit code (negative: the signal). Raises DaemonEnded if it goes on."""
        assert self._process is not None
        assert self._reader is not None
        try:
            code = self._process.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise DaemonEnded(f"the daemon did not end within {timeout_secs:g} s") from None
        self._reader.join()
        self._process = None
        self.exit_codes.append(code)
        return code

    def stop(self) -> int:
        """SIGTERM and wait; its exit code."""
        self.terminate()
        return self.wait_end()

    def workers(self) -> list[int]:
        """Process ids of its hash workers."""
        with suppress(psutil.Error):
            children = psutil.Process(self.pid).children()
            return [each.pid for each in children if "solominer.engines.cpu" in " ".join(each.cmdline())]
        return []

    def limit_file_size(self, most_bytes: int) -> None:
        """From now on no file of its process grows beyond this: what a full disk looks like from inside."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

    def lift_file_size(self) -> None:
        """There is room again."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def wait_lines(
        self, pattern: re.Pattern[str] | str, count: int = 1, *, since: int = 0, timeout_secs: float = PATIENCE_SECS
    ) -> re.Match[str]:
        """Wait until `count` lines from number `since` on match; the last such match. Raises DaemonEnded."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout_secs
        with self._news:
            while True:
                matches = [found for line in self.lines[since:] if (found := wanted.search(line))]
                if len(matches) >= count:
                    return matches[count - 1]
                left = deadline - time.monotonic()
                if left <= 0 or (not self.is_running() and not self._reader_lives()):
                    raise DaemonEnded(
                        f"{len(matches)} of {count} lines like {wanted.pattern!r} within {timeout_secs:g} s"
                    )
                self._news.wait(min(left, 0.2))

    def found_hashes(self) -> list[str]:
        """All blocks that it said it found."""
        with self._news:
            return [found[2] for line in self.lines if (found := FOUND.search(line))]

    def _reader_lives(self) -> bool:
        return self._reader is not None and self._reader.is_alive()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                for hear in tuple(self.on_line):
                    hear(line)
                with self._news:
                    self.lines.append(line.rstrip())
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()
