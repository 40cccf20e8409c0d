"""No process of ours outlives the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Have Linux kill this process when its parent ends, also in the middle of a long compilation.

    Elsewhere nothing is asked of the system; whoever calls looks at os.getppid() from time to time.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before it was asked for
        sys.exit(0)
