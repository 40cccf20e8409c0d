"""The data types of Stratum V2 (specification 3.1): how each is read and written. Numbers are little-endian."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

from solominer.errors import BadValue, Truncated


class Field(NamedTuple):
    """How a value is written, and how it is read from a place on: it and where the next one begins.

    `code` is that of `struct` where all values have the same length.
    """

    write: Callable[[Any], bytes]
    read: Callable[[bytes, int], tuple[Any, int]]
    code: str = ""


def take(data: bytes, at: int, size: int) -> bytes:
    """So many bytes from a place on. Raises Truncated."""
    taken = data[at : at + size]
    if len(taken) < size:
        raise Truncated(f"the message ends {size - len(taken)} bytes too early")
    return taken


def _fixed(code: str) -> Field:
    form = Struct(f"<{code}")

    def read(data: bytes, at: int) -> tuple[Any, int]:
        return form.unpack(take(data, at, form.size))[0], at + form.size

    return Field(form.pack, read, code)


def _sized(length: Field, most: int) -> Field:
    """Bytes behind their length."""

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        size, at = length.read(data, at)
        if size > most:
            raise BadValue(f"{size} bytes where {most} are the most")
        return take(data, at, size), at + size

    return Field(lambda value: length.write(len(value)) + value, read)


def _text() -> Field:
    inner = _sized(U8, 255)

    def read(data: bytes, at: int) -> tuple[str, int]:
        value, at = inner.read(data, at)
        try:
            return value.decode(), at
        except UnicodeDecodeError:
            raise BadValue("a text that is no UTF-8") from None

    return Field(lambda value: inner.write(value.encode()), read)


def _several(length: Field, item: Field, most: int) -> Field:
    """A tuple behind its length."""

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        count, at = length.read(data, at)
        if count > most:
            raise BadValue(f"{count} values where {most} are the most")
        values = []
        for _ in range(count):
            value, at = item.read(data, at)
            values.append(value)
        return tuple(values), at

    return Field(lambda values: length.write(len(values)) + b"".join(map(item.write, values)), read)


def _maybe(item: Field) -> Field:
    """A value or None."""
    inner = _several(U8, item, 1)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        values, at = inner.read(data, at)
        return values[0] if values else None, at

    return Field(lambda value: b"\0" if value is None else b"\1" + item.write(value), read)


def _flag(data: bytes, at: int) -> tuple[bool, int]:
    return bool(take(data, at, 1)[0] & 1), at + 1  # other bits mean nothing


U8, U16, U32, U64, F32, U256 = map(_fixed, ("B", "H", "I", "Q", "f", "32s"))
"""A U256 is 32 bytes as they are sent."""
BOOL = Field(lambda value: b"\x01" if value else b"\x00", _flag)
TEXT = _text()
BYTES_32 = _sized(U8, 32)
BYTES_64K = _sized(U16, 65_535)
MAYBE_U32 = _maybe(U32)
HASHES = _several(U8, U256, 255)
NUMBERS = _several(U16, U32, 65_535)
