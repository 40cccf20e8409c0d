"""An exclusive lock on an open file or folder, for which nobody waits for ever."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from solominer.errors import ConfigError

PATIENCE_SECS = 10.0
_LOOK_SECS = 0.02


def take_lock(handle: int, path: Path) -> None:
    """Lock the open `path` (flock); it is released when `handle` is closed or the process ends.

    Raises ConfigError if another process holds it for PATIENCE_SECS, OSError where the disk has no locks.
    """
    if not lock_within(handle, PATIENCE_SECS):
        raise ConfigError(
            f"another process has held the lock of {path} for {PATIENCE_SECS:g} s: it hangs, or is stopped",
            f"see which (fuser -v {path}), end it, and run this again",
        )


def lock_within(handle: int, secs: float) -> bool:
    """Lock an open file or folder; False if another process holds it so long. Raises OSError as `take_lock`."""
    deadline = time.monotonic() + secs
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(_LOOK_SECS)
