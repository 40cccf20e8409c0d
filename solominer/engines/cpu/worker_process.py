"""One worker process seen from the main process: started, listened to, rung, ended, and its end told in words.

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

from solominer.engines.cpu.job_slot import anonymous_file
from solominer.engines.cpu.messages import Message, take
from solominer.engines.cpu.processes import python_command
from solominer.engines.cpu.startup import EXIT_WRONG_HITS, WorkerSetup

_READ_SIZE = 1 << 16
_SAID_SIZE = 4096
_REAP_LOOK_SECS = 0.005
_REAP_PATIENCE_SECS = 1.0
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_SIGNALS = {
    signal.SIGILL: "it met an instruction that this CPU does not have",
    signal.SIGSEGV: "it crashed",
    signal.SIGBUS: "it crashed",
    signal.SIGABRT: "it gave up",
}


class WorkerProcess:
    """A running worker process, watched by the running event loop.

    `on_message` gets each of its messages; `on_end` gets it once, when it has ended and been reaped. Make it in the
    main thread: Linux ends the process together with the thread that started it. Raises OSError if that fails.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        on_message: Callable[[WorkerProcess, Message], None],
        on_end: Callable[[WorkerProcess], None],
    ) -> None:
        self.index = setup.index
        self.leads = setup.leads
        self.kernel = ""  # known when it is ready
        self.end_reason = ""  # in words, once it has ended
        self.ready_secs: float | None = None  # time.monotonic() of that
        self._on_message = on_message
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._killed_for = ""
        self._oom_kills = _oom_kills()
        self._said = os.fdopen(anonymous_file("solominer-said"), "w+b")
        bell_read, self._bell = os.pipe()
        self._messages, messages_write = os.pipe()
        try:
            self._process = _start(bell_read, messages_write, setup.shared_fd, self._said.fileno())
        except OSError:
            self._close()
            os.close(self._messages)
            raise
        finally:
            os.close(bell_read)
            os.close(messages_write)
        os.set_blocking(self._messages, False)
        os.set_blocking(self._bell, False)
        with contextlib.suppress(BrokenPipeError):  # it is gone already: that is heard on the other pipe
            replace(setup, messages_fd=messages_write).write(self._bell)
        self._loop.add_reader(self._messages, self._read)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ring(self) -> None:
        """Wake it if it is idle."""
        with contextlib.suppress(BrokenPipeError, BlockingIOError):  # gone, or rung often enough
            os.write(self._bell, b"\0")

    def kill(self, reason: str) -> None:
        """End it at once; `reason` is what its end will be put down to."""
        if self._process.returncode is None:
            self._killed_for = reason
            self._process.kill()

    @property
    def exit_code(self) -> int | None:
        """Its exit code (minus the signal's number), None while it runs."""
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
                self.kill("it closed its pipe and did not end")
            self._loop.call_later(_REAP_LOOK_SECS, self._reap, deadline_secs)
            return
        self.end_reason = self._tell_end()
        self._close()
        self._on_end(self)

    def _tell_end(self) -> str:
        code = self._process.returncode
        if self._killed_for:
            return self._killed_for
        if code == EXIT_WRONG_HITS:
            return f"kernel {self.kernel} named hits that were none"
        self._said.seek(max(0, os.fstat(self._said.fileno()).st_size - _SAID_SIZE))
        said = self._said.read().decode(errors="replace").strip()
        said = said and f": {said.splitlines()[-1]}"
        if code >= 0:
            return f"it ended with exit code {code}{said}"
        name = signal.Signals(-code).name
        if -code == signal.SIGKILL and _oom_kills() > self._oom_kills:
            return f"the system killed it because memory ran out ({name})"
        why = _SIGNALS.get(signal.Signals(-code), "it was killed from outside")
        return f"{why} ({name}){said}"

    def _close(self) -> None:
        os.close(self._bell)
        self._said.close()


def _start(stdin: int, messages_fd: int, shared_fd: int, stderr: int) -> subprocess.Popen[bytes]:
    command, environment = python_command("solominer.engines.cpu")
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=(messages_fd, shared_fd),
        env={**environment, **_ONE_THREAD},
    )


def _oom_kills() -> int:
    """How many processes Linux has ended for want of memory since it started; 0 where it does not say."""
    with contextlib.suppress(OSError), Path("/proc/vmstat").open() as file:
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
