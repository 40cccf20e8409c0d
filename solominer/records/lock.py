"""One daemon per data folder: an flock on a file that tells whose it is.

The kernel drops the lock when its holder dies, however it dies, so a stale pid in the file locks nobody out.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from solominer.errors import AlreadyRunning, RecordsError


class FolderLock:
    """Holds `<folder>/lock` from `acquire` to `release`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunning with the holder's pid, RecordsError if the folder cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RecordsError(
                f"the data folder {self.path.parent} cannot be written: {error.strerror}",
                "give this user the right to write there, or set data_dir to another folder",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            os.close(handle)
            raise AlreadyRunning(
                f"another solominer (pid {holder or 'unknown'}) works in {self.path.parent}",
                f"stop it with `kill {holder}`, or give this one a data_dir of its own" if holder else "stop it first",
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle

    def release(self) -> None:
        """Give it back; harmless if it is not held. The file stays: removing it would let two hold 'the' lock."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
