"""Starting child processes that run our own modules and do not outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path


def python_command(module: str, *args: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a Python process with our import path; it imports nothing from its own folder."""
    paths = [found for path in sys.path if (found := path or _current_directory())]
    return [sys.executable, "-P", "-m", module, *args], {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _current_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed: nothing is imported from it
        return ""


def leave_signals_to_parent() -> None:
    """Ignore SIGINT and SIGTERM, which a terminal or a supervisor sends to the parent too: it decides."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def last_words(stderr_fd: int) -> str:
    """`: ` and the last line that a process wrote to this file; empty if there is none."""
    said = os.pread(stderr_fd, _SAID_BYTES, max(0, os.fstat(stderr_fd).st_size - _SAID_BYTES))
    lines = said.decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


_SAID_BYTES = 4096
_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Have Linux kill this process when its parent ends, even during a long compilation.

    On other systems this does nothing; the caller checks os.getppid() from time to time.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it had already ended
        sys.exit(0)
