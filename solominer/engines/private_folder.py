"""Folders of compiled code: it is run, so it is read only from where nobody else can write."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Unusable(OSError):
    """The folder cannot be used for compiled code."""


def private_folder(folder: Path) -> None:
    """Create a folder that only we can write, and its parent. Raises OSError if others can write an existing one."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    check_owner(folder.parent if folder.parent.name == "kernels" else folder)
    check_owner(folder)


def check_owner(path: Path) -> None:
    """Raises OSError if the file or folder is a link, or another user's, or others can write it."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise Unusable(f"{path} is a symbolic link")
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
        raise Unusable(f"{path} is writable by others")
