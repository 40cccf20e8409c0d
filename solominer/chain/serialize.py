"""Bitcoin's wire format: little-endian integers, CompactSize, and a reader that bounds every read.

Source: src/serialize.h of Bitcoin Core.
"""

from __future__ import annotations

from solominer.errors import BadValue, TrailingData, Truncated

MAX_SIZE = 0x02000000
"""Longest length that Bitcoin Core reads (src/serialize.h, MAX_SIZE)."""


def uint32_le(value: int) -> bytes:
    """Four bytes, little-endian. Raises BadValue outside 0..2**32-1."""
    if not 0 <= value <= 0xFFFFFFFF:
        raise BadValue(f"{value} does not fit 32 bits")
    return value.to_bytes(4, "little")


def int64_le(value: int) -> bytes:
    """Eight bytes, little-endian, for amounts in satoshis. Raises BadValue for an impossible amount."""
    if not 0 <= value < 1 << 63:
        raise BadValue(f"{value} is not an amount")
    return value.to_bytes(8, "little")


def compact_size(value: int) -> bytes:
    """CompactSize: 1, 3, 5 or 9 bytes, always the shortest form."""
    if value < 0:
        raise BadValue(f"a length cannot be {value}")
    if value < 0xFD:
        return bytes((value,))
    if value <= 0xFFFF:
        return b"\xfd" + value.to_bytes(2, "little")
    if value <= 0xFFFFFFFF:
        return b"\xfe" + value.to_bytes(4, "little")
    if value <= 0xFFFFFFFFFFFFFFFF:
        return b"\xff" + value.to_bytes(8, "little")
    raise BadValue(f"{value} does not fit a CompactSize")


def sized(data: bytes) -> bytes:
    """`data` prefixed with its CompactSize length."""
    return compact_size(len(data)) + data


class Reader:
    """Reads from `data` with bounds; raises Truncated, TrailingData or BadValue and never returns short."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self.position + size
        if end > len(self.data):
            raise Truncated(f"{size} bytes wanted at {self.position}, {len(self.data) - self.position} left")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def uint32(self) -> int:
        """Four bytes, little-endian."""
        return int.from_bytes(self.take(4), "little")

    def int64(self) -> int:
        """Eight bytes, little-endian, signed."""
        return int.from_bytes(self.take(8), "little", signed=True)

    def compact_size(self) -> int:
        """A CompactSize; a non-minimal or over-long one raises BadValue (src/serialize.h, ReadCompactSize)."""
        first = self.take(1)[0]
        if first < 0xFD:
            return first
        width, least = {0xFD: (2, 0xFD), 0xFE: (4, 0x10000), 0xFF: (8, 0x100000000)}[first]
        value = int.from_bytes(self.take(width), "little")
        if value < least:
            raise BadValue(f"non-minimal CompactSize {value}")
        if value > MAX_SIZE:
            raise BadValue(f"CompactSize {value} is over the limit of {MAX_SIZE}")
        return value

    def sized(self) -> bytes:
        """A CompactSize length and that many bytes."""
        return self.take(self.compact_size())

    def finish(self) -> None:
        """Raises TrailingData if anything is left."""
        if self.position != len(self.data):
            raise TrailingData(f"{len(self.data) - self.position} bytes behind the end")
