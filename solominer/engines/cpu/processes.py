"""How a process of ours is started that runs another of our modules, and that none outlives the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path


def python_command(module: str, *args: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a Python that imports what we do, from where we do, and nothing from its folder."""
    paths = [found for path in sys.path if (found := path or _current_directory())]
    return [sys.executable, "-P", "-m", module, *args], {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _current_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed: nothing is imported from it
        return ""


_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Have Linux kill this process when its parent ends, also in the middle of a long compilation.

    Elsewhere nothing is asked of the system; whoever calls looks at os.getppid() from time to time.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before it was asked for
        sys.exit(0)
