"""Access to user-supplied paths and the home directory, with typed errors.

`Path.exists()` raises PermissionError below an unreadable directory, and `Path.home()` raises RuntimeError for an
unknown user id. Text files may begin with a byte order mark.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from solominer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a path exists. `problem` is why this is unknown, or ''."""

    there: bool
    problem: str = ""


def presence(path: Path) -> Presence:
    """Whether `path` exists; a dangling symlink does not."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Presence(there=False)
    except (OSError, ValueError) as error:
        return Presence(there=False, problem=reason(error))
    return Presence(there=True)


def reason(error: OSError | ValueError) -> str:
    """The error's message without the path."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises OSError for anything else, without blocking on a FIFO."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(error)) from error
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def read_file(path: Path, most_bytes: int) -> bytes:
    """The first `most_bytes` of a regular file. Raises OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read(most_bytes)


def home() -> Path | None:
    """This user's home directory from `$HOME` or the user database, or None."""
    if (named := Path(os.environ.get("HOME", ""))).is_absolute():
        return named
    try:
        return Path(home_of(os.getuid()))
    except (KeyError, ImportError):
        return None


def home_of(user_id: int) -> str:
    """The home directory in the user database. Raises KeyError for an unknown user id."""
    import pwd  # not on every platform

    return pwd.getpwuid(user_id).pw_dir


def home_or_refuse(setting: str) -> Path:
    """This user's home directory, required unless `setting` is set. Raises ConfigError if there is none."""
    if (folder := home()) is None:
        raise ConfigError(
            f"this user has no home directory: HOME is not set and user id {os.getuid()} is not in the user database",
            f"set {setting}, or HOME",
        )
    return folder


def expanded(path: Path, setting: str) -> Path:
    """Expand a leading `~` or `~user` in `path`. Raises ConfigError if that user has no home directory."""
    first = path.parts[0] if path.parts else ""
    if first == "~":
        return home_or_refuse(f"{setting} to an absolute path").joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError("the home directory of that user is unknown", f"write {setting} in full") from None


def absolute(path: Path) -> Path:
    """Make `path` absolute. Raises ConfigError if the current directory was removed."""
    try:
        return path.absolute()
    except OSError as error:
        raise ConfigError(
            f"{path} is a relative path, and the current directory cannot be read: {reason(error)}",
            "change to a directory that exists, or use an absolute path",
        ) from error


_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def plain_bytes(data: bytes) -> bytes:
    """Remove a byte order mark; UTF-16 and UTF-32 (Notepad, PowerShell's `>`) are converted to UTF-8.

    Bytes without a mark are returned unchanged. Raises ValueError for invalid encodings and zero bytes.
    """
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    plain = data if encoding is None else data.decode(encoding).encode()
    if b"\0" in plain:
        raise ValueError("it is not UTF-8 text")
    return plain


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/solominer`, by default `~/.local/share/solominer`. ConfigError without a home directory."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if base.is_absolute():  # the XDG specification ignores relative paths
        return base / "solominer"
    return home_or_refuse("data_dir (--data-dir, SOLOMINER_DATA_DIR)") / ".local" / "share" / "solominer"


def default_cache_dir() -> Path:
    """`$SOLOMINER_CACHE` or `$XDG_CACHE_HOME/solominer`: compiled kernels and a downloaded bitcoind.

    Raises ConfigError without a home directory.
    """
    own = os.environ.get("SOLOMINER_CACHE")
    if own:
        return absolute(expanded(Path(own), "SOLOMINER_CACHE"))
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base / "solominer"
    return home_or_refuse("SOLOMINER_CACHE") / ".cache" / "solominer"
