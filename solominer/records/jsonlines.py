"""Append-only files of JSON lines: written through full disks, read past torn lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from solominer.chain.fields import decode
from solominer.errors import BadValue
from solominer.records.files import open_regular, sync_file
from solominer.records.tree import make_folder

MOST_LINE_BYTES = 8 << 20
"""A longer line is none of ours: it is read as torn pieces of so many bytes."""

_OPEN = os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK


class Line(NamedTuple):
    """One line of a file: where it begins, how many bytes with its newline, and its object (None: not one)."""

    offset: int
    size: int
    value: dict[str, Any] | None


class Appender:
    """Appends to one file from one thread. What cannot be written yet waits in memory, in order.

    After a short write (disk full) the rest of the very same bytes follows later, so a line is never torn by a disk
    that comes back, only by an end of the process in between.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._waiting = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes not yet handed to the file system."""
        return len(self._waiting)

    @property
    def is_open(self) -> bool:
        """Whether its file was opened."""
        return self._handle is not None

    def append(self, data: bytes) -> None:
        """Add to what is to be written; writes nothing itself."""
        self._waiting += data

    def flush(self, *, durable: bool = False) -> None:
        """Write all that waits. Raises OSError and keeps the rest."""
        if not self._waiting and not durable:
            return
        if self._handle is None:
            make_folder(self.path.parent)
            self._handle = os.open(self.path, _OPEN | os.O_WRONLY | os.O_CREAT, 0o644)
        while self._waiting:
            del self._waiting[: os.write(self._handle, self._waiting)]
        if durable:
            sync_file(self._handle)

    def close(self) -> None:
        """Write what waits, fsync, close. Raises OSError and stays open."""
        if self._handle is None and not self._waiting:
            return
        self.flush(durable=True)
        self.abandon()

    def abandon(self) -> None:
        """Close without writing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def read_lines(path: Path, offset: int = 0) -> Iterator[Line]:
    """The lines of the file from `offset`; a last line without newline counts as torn. A missing file has none."""
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        while raw := file.readline(MOST_LINE_BYTES):
            yield Line(offset, len(raw), parse_object(raw) if raw.endswith(b"\n") else None)
            offset += len(raw)


def parse_object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in `raw`, or None."""
    try:
        value = decode(raw)
    except BadValue:
        return None
    return value if isinstance(value, dict) else None


def close_torn_line(path: Path) -> int:
    """End a last line that lacks its newline; the number of bytes that it has (0: nothing was torn). Raises OSError."""
    try:
        open_regular(path).close()
        handle = os.open(path, _OPEN | os.O_RDWR)
    except FileNotFoundError:
        return 0
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        torn = 0
        while torn < size:
            start = max(0, size - torn - 4096)
            piece = os.pread(handle, size - torn - start, start)
            newline = piece.rfind(b"\n")
            if newline >= 0:
                torn += len(piece) - newline - 1
                break
            torn += len(piece)
        if torn:
            os.write(handle, b"\n")
            sync_file(handle)
        return torn
    finally:
        os.close(handle)
