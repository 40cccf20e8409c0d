"""File operations that tolerate limited file systems and foreign files.

Optional features (links, directory fsync, text copies) fail with a single warning. Only regular files are read, up to a
size limit.
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
"""Size limit of files that are read whole."""

_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF})
_FAILING = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT})
_NO_REPLACE = frozenset({errno.EEXIST, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_MOST_WARNINGS = 200
_warned: set[str] = set()


def warn_once(key: str, message: str) -> None:
    """Log a warning the first time this key is used; at most 200 warnings in all."""
    if key not in _warned and len(_warned) < _MOST_WARNINGS:
        _warned.add(key)
        log.warning("%s", message)


@contextmanager
def optional(what: str) -> Iterator[None]:
    """Turn an OSError in an optional step into one warning."""
    try:
        yield
    except OSError as error:
        warn_once(f"optional {what}", f"{what} failed, recording continues without it: {reason(error)}")


def reason(error: OSError) -> str:
    """The error message and file name, escaped for printing."""
    text = error.strerror or str(error)
    return f"{text}: {shown(os.fsdecode(error.filename))}" if isinstance(error.filename, str | bytes) else shown(text)


def shown(text: object, most: int = 200) -> str:
    """Foreign text, escaped and truncated to `most` characters for logs and terminals."""
    return printable(str(text), most)


def read_bounded(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a regular file. Raises OSError, EFBIG if it is larger than `most_bytes`."""
    data = read_file(path, most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes} bytes", os.fspath(path))
    return data


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder or a link to one; False if that cannot be determined."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises where a folder above may not be entered


def is_regular(path: Path) -> bool:
    """Whether `path` is a regular file and not a link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def sync_file(handle: int) -> None:
    """os.fsync, if the file system supports it. Raises OSError if it does and fails."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        warn_once("fsync", f"fsync is not supported here: {reason(error)}; a power failure may lose recent files")


def fsync_folder(folder: Path) -> None:
    """Fsync a folder's entries, if the file system supports it. Raises OSError if the disk fails or is full."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in _FAILING:
            raise
        warn_once("fsync folder", f"cannot fsync folders here: {reason(error)}; a power failure may lose recent files")


def replace(temporary: Path, path: Path) -> None:
    """Rename over a file or link; the old one is removed first if the file system cannot replace it atomically."""
    try:
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _NO_REPLACE or not (is_regular(path) or path.is_symlink()):
            raise
        warn_once("replace", f"cannot replace files atomically here: {reason(error)}")
        path.unlink()
        temporary.rename(path)


def clear_the_way(root: Path, path: Path) -> None:
    """Rename whatever blocks the file `path` or one of its folders below `root`. Deletes nothing. Raises OSError."""
    place = root
    *folders, name = path.relative_to(root).parts
    for part in folders:
        place = place / part
        if not os.path.lexists(place):  # checked first: another thread may be creating it
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
    warn_once(f"aside {path}", f"{shown(path)} was in the way of the records: renamed to {aside.name}")
