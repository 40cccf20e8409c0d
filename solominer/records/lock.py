"""One daemon per data folder: an flock on a file that holds the owner's pid.

The kernel releases the lock when the process ends, so a stale pid does no harm. On file systems without locks, the pid
and start time in the file are checked instead.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from solominer.errors import AlreadyRunning, RecordsError
from solominer.records.files import reason, warn_once

_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENFILE, errno.EMFILE})


class FolderLock:
    """Holds `<folder>/lock`, or `<inner>/lock` (a network's folder) if that cannot be created."""

    def __init__(self, folder: Path, inner: Path | None = None) -> None:
        self.path = folder / "lock"
        self._places = [self.path, *([] if inner is None else [inner / "lock"])]
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunning, with the holder's pid, or RecordsError if neither file is writable."""
        problems = []
        for path in self._places:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
            except OSError as error:
                problems.append(error)
                continue
            if problems:
                warn_once(f"lock {path}", f"the lock is in {path}, not in {self.path}: {reason(problems[0])}")
            self.path = path
            self._take(handle)
            return
        if problems[-1].errno in _FULL:
            warn_once(f"lock {self.path}", f"cannot check for another solominer here: {reason(problems[-1])}")
            return
        if isinstance(problems[0], FileExistsError | NotADirectoryError):
            raise RecordsError(
                f"{self.path.parent} cannot be the data folder: there is a file of this name, or of a folder above it",
                "set data_dir (--data-dir) to a folder; one that does not exist is made",
            ) from problems[0]
        raise RecordsError(
            f"the data folder {self.path.parent} cannot be written: {problems[0].strerror}",
            "give this user the right to write there, or set data_dir to another folder",
        ) from problems[0]

    def _take(self, handle: int) -> None:
        try:
            holder = _holder(handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _TAKEN or _is_alive(holder):
                    raise self._refusal(holder.partition("\n")[0]) from error
                why = f"file locks do not work on the disk of {self.path}: {reason(error)}"
                warn_once(f"flock {self.path}", f"{why}; a solominer on another machine would go unnoticed")
            try:
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n{_started(os.getpid())}\n".encode(), 0)
            except OSError as error:
                warn_once(f"lock {self.path}", f"cannot write the pid to {self.path}: {reason(error)}")
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def _refusal(self, pid: str) -> AlreadyRunning:
        return AlreadyRunning(
            f"another solominer (pid {pid or 'unknown'}) is using {self.path.parent}",
            f"stop it with `kill {pid}`, or set a different data_dir" if pid else "stop it first",
        )

    def release(self) -> None:
        """Release the lock, if held. The file stays: removing it would let two processes lock different files."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def user_of(folder: Path) -> str:
    """The pid of the process that has this folder, as its lock file says; empty if there is none.

    The lock is not tried: a daemon that starts at that moment would be refused.
    """
    try:
        handle = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        holder = _holder(handle)
    finally:
        os.close(handle)
    return holder.partition("\n")[0] if _is_alive(holder) else ""


def _holder(handle: int) -> str:
    """The lock file's two lines, pid and start time of that process; empty if malformed."""
    try:
        lines = os.pread(handle, 64, 0).decode("ascii").split("\n")
    except (OSError, UnicodeDecodeError):
        return ""
    return "\n".join(lines[:2]) if lines[0].isdigit() and len(lines[0]) < 10 else ""


def _is_alive(holder: str) -> bool:
    """Whether another process with this pid and start time runs."""
    pid, _, began = holder.partition("\n")
    return bool(began) and int(pid) != os.getpid() and _started(int(pid)) == began


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot (proc(5)); empty if unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, LookupError):
        return ""
