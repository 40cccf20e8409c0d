"""Files on file systems that lack something, and in folders where others may have put things.

Links, syncing of folders, text views and the like are conveniences: where they fail, one warning says so and the
records go on. Nothing is read but regular files, and no more of them than they may have.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solominer.config.paths import read_file
from solominer.errors import printable

log = logging.getLogger("solominer.records")

MOST_BYTES = 64 << 20
"""More than any file of ours that is read as a whole."""

_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF})
_FAILING = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT})
_NO_REPLACE = frozenset({errno.EEXIST, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_MOST_WARNINGS = 200
_warned: set[str] = set()


def warn_once(key: str, message: str) -> None:
    """Log a warning unless one with this key was logged before, or there were too many of them."""
    if key not in _warned and len(_warned) < _MOST_WARNINGS:
        _warned.add(key)
        log.warning("%s", message)


@contextmanager
def optional(what: str) -> Iterator[None]:
    """For what the records can do without: an OSError becomes one warning."""
    try:
        yield
    except OSError as error:
        warn_once(f"optional {what}", f"{what} does not work here, the records go on without it: {reason(error)}")


def reason(error: OSError) -> str:
    """The error in words, with its file escaped."""
    text = error.strerror or str(error)
    return f"{text}: {shown(os.fsdecode(error.filename))}" if isinstance(error.filename, str | bytes) else shown(text)


def shown(text: object, most: int = 200) -> str:
    """A foreign name or text for logs and terminals, escaped and shortened."""
    return printable(str(text), most)


def read_bounded(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a regular file. Raises OSError, also where it is larger than `most_bytes`."""
    data = read_file(path, most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes} bytes", os.fspath(path))
    return data


def is_folder(path: Path) -> bool:
    """Whether there is a folder, or a link to one; False where that cannot be found out."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises where a folder above may not be entered


def is_regular(path: Path) -> bool:
    """Whether there is a regular file that is no link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def sync_file(handle: int) -> None:
    """os.fsync, where the file system has it. Raises OSError where it has and fails."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        warn_once("fsync", f"files cannot be synced to this disk: {reason(error)}; a power cut may lose the newest")


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where the file system can. Raises OSError if the disk fails or is full."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in _FAILING:
            raise
        warn_once("fsync folder", f"folders cannot be synced here: {reason(error)}; a power cut may lose the newest")


def replace(temporary: Path, path: Path) -> None:
    """Rename over a file or link; where the file system does not rename over one, the old one is removed before."""
    try:
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _NO_REPLACE or not (is_regular(path) or path.is_symlink()):
            raise
        warn_once("replace", f"files cannot be replaced at once here: {reason(error)}")
        path.unlink()
        temporary.rename(path)


def clear_the_way(root: Path, path: Path) -> None:
    """Make `path` below `root` usable as a file of ours: what stands there, or where its folders belong, is renamed.

    Nothing is removed. Raises OSError.
    """
    place = root
    *folders, name = path.relative_to(root).parts
    for part in folders:
        place = place / part
        if not os.path.lexists(place):  # asked first: another thread may be making it
            return
        if not is_folder(place):
            _move_aside(place)
            return
    place = place / name
    if os.path.lexists(place) and not is_regular(place):
        _move_aside(place)


def _move_aside(path: Path) -> None:
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.foreign-{number}")):
        number += 1
    path.rename(aside)
    warn_once(f"aside {path}", f"{shown(path)} stood where a file or folder of the records belongs: now {aside.name}")
