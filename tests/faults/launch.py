"""Starts the daemon's command with a wall clock that can be moved and a disk that can fail. Run as a program.

    python -m tests.faults.launch CONTROL_FILE run --config ...

CONTROL_FILE is 16 bytes: a little-endian double that is added to every reading of the wall clock, and a long that says
what is wrong with the disk: 1 while every fsync fails, 2 while each takes a second, 3 while no folder can be made in
`submissions`. The harness changes them while the daemon runs.
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
DISK_WORKS, FSYNC_FAILS, FSYNC_IS_SLOW, NO_SUBMISSIONS = range(4)
SLOW_FSYNC_SECS = 1.0


def install(control: mmap.mmap) -> None:
    """Replace time.time, os.fsync and os.mkdir; to be called before anything of the daemon is imported."""
    real_time, real_fsync, real_mkdir = time.time, os.fsync, os.mkdir

    def disk() -> int:
        return int(LAYOUT.unpack(control[: LAYOUT.size])[1])

    def moved_time() -> float:
        return real_time() + float(LAYOUT.unpack(control[: LAYOUT.size])[0])

    def weak_fsync(handle: Any) -> None:
        if disk() == FSYNC_FAILS:
            raise OSError(errno.EIO, "fsync fails as told")
        if disk() == FSYNC_IS_SLOW:
            time.sleep(SLOW_FSYNC_SECS)
        real_fsync(handle)

    def weak_mkdir(path: Any, *args: Any, **options: Any) -> None:
        if disk() == NO_SUBMISSIONS and "submissions" in Path(path).parts:
            raise OSError(errno.EIO, "mkdir fails as told")
        real_mkdir(path, *args, **options)

    time.time = moved_time
    os.fsync = weak_fsync  # type: ignore[assignment] # its parameter has another name
    os.mkdir = weak_mkdir


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
