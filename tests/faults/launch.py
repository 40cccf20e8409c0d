"""Starts the daemon's command with a wall clock that can be moved and a disk that can fail. Run as a program.

    python -m tests.faults.launch CONTROL_FILE run --config ...

CONTROL_FILE is 16 bytes: a little-endian double that is added to every reading of the wall clock, and a long that is
1 while every fsync fails and 2 while each takes a second. The harness changes them while the daemon runs.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

LAYOUT = struct.Struct("<dq")
FSYNC_WORKS, FSYNC_FAILS, FSYNC_IS_SLOW = range(3)
SLOW_FSYNC_SECS = 1.0


def install(control: mmap.mmap) -> None:
    """Replace time.time and os.fsync; to be called before anything of the daemon is imported."""
    real_time, real_fsync = time.time, os.fsync

    def moved_time() -> float:
        return real_time() + float(LAYOUT.unpack(control[: LAYOUT.size])[0])

    def weak_fsync(handle: Any) -> None:
        state = LAYOUT.unpack(control[: LAYOUT.size])[1]
        if state == FSYNC_FAILS:
            raise OSError(errno.EIO, "fsync fails as told")
        if state == FSYNC_IS_SLOW:
            time.sleep(SLOW_FSYNC_SECS)
        real_fsync(handle)

    time.time = moved_time
    os.fsync = weak_fsync  # type: ignore[assignment] # its parameter has another name


def main() -> None:
    """The daemon's command line behind the control file's name."""
    with Path(sys.argv[1]).open("r+b") as file:
        install(mmap.mmap(file.fileno(), LAYOUT.size))
    sys.argv[1:2] = []
    sys.argv[0] = "solominer"
    from solominer.cli import main as daemon

    daemon()


if __name__ == "__main__":
    main()
