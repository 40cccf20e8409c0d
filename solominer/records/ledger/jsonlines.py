"""Append-only files of JSON lines that survive full disks and torn lines; reading and formatting JSON objects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from solominer.chain.fields import decode
from solominer.config.paths import open_regular
from solominer.errors import BadValue
from solominer.records.files import read_bounded, sync_file
from solominer.records.tree import make_folder

MOST_LINE_BYTES = 8 << 20
"""Longer lines are foreign; they are read as torn lines of this size."""

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""Exceptions raised by using a malformed document."""

_OPEN = os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK


class Line(NamedTuple):
    """One line of a file: byte offset, size with its newline, and its JSON object (None: not one)."""

    offset: int
    size: int
    value: dict[str, Any] | None


class Appender:
    """Appends to one file from one thread, buffering what cannot be written yet.

    After a short write (disk full) the remaining bytes are written later, so only a crash of the process tears a line.
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
        """Whether the file is open."""
        return self._handle is not None

    def append(self, data: bytes) -> None:
        """Add to the buffer."""
        self._waiting += data

    def flush(self, *, durable: bool = False) -> None:
        """Write the buffer, and fsync if `durable`. Raises OSError and keeps the rest."""
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
        """Write the buffer, fsync, close. Raises OSError and stays open."""
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
    """The lines of a file from `offset`; none if it is missing. A last line without newline counts as torn."""
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


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a regular file, or None if it is missing or malformed."""
    try:
        return parse_object(read_bounded(path))
    except OSError:
        return None


def pretty_json(value: object) -> bytes:
    """Indented JSON with a newline at the end."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def close_torn_line(path: Path) -> int:
    """Add the missing newline to a torn last line. Returns the line's length in bytes, 0 if none. Raises OSError."""
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
