"""A worker process as seen by the main process: start, read messages, wake, kill, and find out why it ended.

Nothing here imports NumPy or Numba: the main process stays small.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from solominer.engines.pool.job_slot import anonymous_file
from solominer.engines.pool.messages import Message, take
from solominer.engines.pool.processes import last_words, python_command
from solominer.engines.pool.startup import EXIT_OFF, EXIT_WRONG_HITS, WorkerSetup

_READ_SIZE = 1 << 16
_REAP_LOOK_SECS = 0.005
_REAP_PATIENCE_SECS = 1.0
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_SIGNALS = {
    signal.SIGILL: "executed an instruction that this CPU does not have",
    signal.SIGSEGV: "crashed",
    signal.SIGBUS: "crashed",
    signal.SIGABRT: "aborted",
}


class WorkerProcess:
    """A running worker process, watched by the running event loop.

    `on_message` is called with each of its messages, `on_end` once, when it has ended and been reaped. Create it in the
    main thread: Linux kills the process together with the thread that started it. Raises OSError if that fails.
    `module` is what it runs.
    """

    def __init__(
        self,
        module: str,
        setup: WorkerSetup,
        on_message: Callable[[WorkerProcess, Message], None],
        on_end: Callable[[WorkerProcess], None],
    ) -> None:
        self.index = setup.index
        self.kernel = ""  # set when it is ready
        self.ready_secs: float | None = None  # time.monotonic() of that
        self.end_reason = ""  # set when it has ended
        self._on_message = on_message
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._killed_for = ""
        self._oom_kills = _oom_kills()
        self._stderr = anonymous_file("solominer-stderr")
        bell_read, self._bell = os.pipe()
        self._messages, messages_write = os.pipe()
        try:
            self._process = _start(module, bell_read, messages_write, setup.shared_fd, self._stderr)
        except OSError:
            self._close()
            os.close(self._messages)
            raise
        finally:
            os.close(bell_read)
            os.close(messages_write)
        os.set_blocking(self._messages, False)
        os.set_blocking(self._bell, False)
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which the other pipe's end of file reports
            replace(setup, messages_fd=messages_write).write(self._bell)
        self._loop.add_reader(self._messages, self._read)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ring(self) -> None:
        """Wake it if it is idle."""
        with contextlib.suppress(BrokenPipeError, BlockingIOError):  # ended, or already notified
            os.write(self._bell, b"\0")

    def kill(self, reason: str) -> None:
        """Kill it; `reason` becomes its `end_reason`."""
        if self._process.returncode is None:
            self._killed_for = reason
            self._process.kill()

    @property
    def exit_code(self) -> int | None:
        """Its exit code (negative: the signal that killed it), None while it runs."""
        return self._process.returncode

    def _read(self) -> None:
        try:
            data = os.read(self._messages, _READ_SIZE)
        except BlockingIOError:
            return
        if data:
            self._buffer += data
            for message in take(self._buffer):
                self._on_message(self, message)
        else:  # the pipe closes when the process ends
            self._loop.remove_reader(self._messages)
            os.close(self._messages)
            self._reap(time.monotonic() + _REAP_PATIENCE_SECS)

    def _reap(self, deadline_secs: float) -> None:
        if self._process.poll() is None:
            if time.monotonic() > deadline_secs:
                self.kill("closed its pipe but did not exit")
            self._loop.call_later(_REAP_LOOK_SECS, self._reap, deadline_secs)
            return
        self.end_reason = self._why_ended()
        self._close()
        self._on_end(self)

    def _why_ended(self) -> str:
        code = self._process.returncode
        if self._killed_for:
            return self._killed_for
        if code == EXIT_WRONG_HITS:
            return f"kernel {self.kernel} reported wrong hits"
        last_line = last_words(self._stderr)
        if code == EXIT_OFF:
            return last_line.removeprefix(": ")
        if code >= 0:
            return f"exited with code {code}{last_line}"
        name = signal.Signals(-code).name
        if -code == signal.SIGKILL and _oom_kills() > self._oom_kills:
            return f"killed by the system: out of memory ({name})"
        why = _SIGNALS.get(signal.Signals(-code), "killed by another process")
        return f"{why} ({name}){last_line}"

    def _close(self) -> None:
        os.close(self._bell)
        os.close(self._stderr)


def _start(module: str, stdin: int, messages_fd: int, shared_fd: int, stderr: int) -> subprocess.Popen[bytes]:
    command, environment = python_command(module)
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=(messages_fd, shared_fd),
        env={**environment, **_ONE_THREAD},
    )


def _oom_kills() -> int:
    """How many processes Linux has killed for lack of memory since it booted; 0 on other systems."""
    with contextlib.suppress(OSError), Path("/proc/vmstat").open() as file:
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
