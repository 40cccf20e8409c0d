"""Finds where the transactions of a block begin and end, without making objects of their parts.

About five times as fast as `transaction.read_transaction`, and less strict: the bytes are only divided. Whoever relies
on their content parses them.
"""

from __future__ import annotations

from typing import NamedTuple

from solominer.errors import Truncated


class TxBounds(NamedTuple):
    """Where a transaction's witness begins (0: it has none) and where the transaction ends."""

    witness_at: int
    end: int


def scan_transaction(data: bytes, at: int) -> TxBounds:
    """The bounds of the transaction that begins at `at`. Raises Truncated if it is longer than `data`."""
    try:
        bounds = _scan(data, at)
    except IndexError:
        raise Truncated(f"the transaction at {at} is incomplete") from None
    if bounds.end > len(data):
        raise Truncated(f"the transaction at {at} is incomplete")
    return bounds


def scan_count(data: bytes, at: int) -> tuple[int, int]:
    """A CompactSize at `at` and the position behind it. Raises Truncated."""
    try:
        return _size(data, at)
    except IndexError:
        raise Truncated(f"the number at {at} is incomplete") from None


def stripped(data: bytes, at: int, bounds: TxBounds) -> bytes:
    """The transaction without its witness."""
    if not bounds.witness_at:
        return data[at : bounds.end]
    return data[at : at + 4] + data[at + 6 : bounds.witness_at] + data[bounds.end - 4 : bounds.end]


def _scan(data: bytes, at: int) -> TxBounds:
    at += 4
    has_witness = data[at] == 0
    if has_witness:
        at += 2
    inputs, at = _size(data, at)
    for _ in range(inputs):
        size = data[at + 36]
        if size < 0xFD:
            at += 41 + size
        else:
            size, at = _size(data, at + 36)
            at += size + 4
    outputs, at = _size(data, at)
    for _ in range(outputs):
        size = data[at + 8]
        if size < 0xFD:
            at += 9 + size
        else:
            size, at = _size(data, at + 8)
            at += size
    if not has_witness:
        return TxBounds(0, at + 4)
    witness_at = at
    for _ in range(inputs):
        items, at = _size(data, at)
        for _ in range(items):
            size = data[at]
            if size < 0xFD:
                at += 1 + size
            else:
                size, at = _size(data, at)
                at += size
    return TxBounds(witness_at, at + 4)


def _size(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    if first < 0xFD:
        return first, at + 1
    width = 2 << (first - 0xFD)
    if at + 1 + width > len(data):
        raise IndexError
    return int.from_bytes(data[at + 1 : at + 1 + width], "little"), at + 1 + width
