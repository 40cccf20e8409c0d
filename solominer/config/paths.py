"""Paths of other users and programs, and this user's home: whatever is there, the answer is a value or a typed error.

`Path.exists()` and its siblings raise PermissionError below a folder that may not be entered, and `Path.home()` raises
RuntimeError where the user id is unknown. Paths that are not our own are therefore examined here.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from solominer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether something is at a path. `problem` is why that cannot be known, '' where it is known."""

    there: bool
    problem: str = ""


def presence(path: Path) -> Presence:
    """Whether there is something at `path`; a dangling link is nothing."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Presence(there=False)
    except (OSError, ValueError) as error:
        return Presence(there=False, problem=reason(error))
    return Presence(there=True)


def reason(error: OSError | ValueError) -> str:
    """The system's words for an error, without the path."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def read_file(path: Path, most_bytes: int) -> bytes:
    """The first `most_bytes` of a regular file. Raises OSError; never waits, as opening a named pipe would."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(error)) from error
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(most_bytes)


def home() -> Path | None:
    """This user's home directory: `$HOME`, or that of the user database; None where neither names one."""
    if (named := Path(os.environ.get("HOME", ""))).is_absolute():
        return named
    try:
        return Path(home_of(os.getuid()))
    except (KeyError, ImportError):
        return None


def home_of(user_id: int) -> str:
    """The home directory of the user database. Raises KeyError for an unknown user id."""
    import pwd  # not on every platform

    return pwd.getpwuid(user_id).pw_dir


def home_or_refuse(setting: str) -> Path:
    """This user's home directory, which is needed unless `setting` is set. Raises ConfigError where there is none."""
    if (folder := home()) is None:
        raise ConfigError(
            f"this user has no home directory: HOME is not set and user id {os.getuid()} is not in the user database",
            f"set {setting}, or HOME",
        )
    return folder


def expanded(path: Path, setting: str) -> Path:
    """`path` with a leading `~` or `~user` replaced. Raises ConfigError where that user has no home directory."""
    first = path.parts[0] if path.parts else ""
    if first == "~":
        return home_or_refuse(f"{setting} to an absolute path").joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError("no home directory of the user behind it is known", f"write {setting} in full") from None


def absolute(path: Path) -> Path:
    """`path` from the root on. Raises ConfigError where the current directory was removed."""
    try:
        return path.absolute()
    except OSError as error:
        raise ConfigError(
            f"{path} is a relative path, and the current directory cannot be read: {reason(error)}",
            "change to a directory that exists, or use an absolute path",
        ) from error
