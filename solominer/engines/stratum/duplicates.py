"""Which headers have been handed in on a tip: memory is bounded, and so are the odds of a mistake.

A header is remembered by 64 bits of its hash. An honest share is taken for a duplicate with odds of n / 2**64 where n
are remembered (at most 2**20: below 1e-13); even then a block is submitted, since that is checked before. At least the
last 2**19 shares of each of the last four tips are remembered, which is 870 a second between two blocks. Memory is 16
bytes a share, and at most 64 MB in all.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import Any

SLOTS = (1 << 10, 1 << 14, 1 << 18, 1 << 19)
MOST_TABLES = 4
TIPS_KEPT = 4


class _Table:
    """An open-addressing hash set of 64-bit numbers other than 0, full at half its slots."""

    __slots__ = ("_mask", "room", "slots", "view")

    def __init__(self, slots: int) -> None:
        self.slots = array("Q", [0]) * slots
        self.view: Any = None  # of jitted code
        self._mask = slots - 1
        self.room = slots // 2

    def add(self, key: int) -> bool:
        """Whether `key` is new; it is in the table afterwards."""
        at = self._find(key)
        if self.slots[at]:
            return False
        self.slots[at] = key
        self.room -= 1
        return True

    def __contains__(self, key: int) -> bool:
        return self.slots[self._find(key)] != 0

    def _find(self, key: int) -> int:
        slots, mask = self.slots, self._mask
        at = key & mask
        while slots[at] and slots[at] != key:
            at = (at + 1) & mask
        return at


class Duplicates:
    """The headers seen on the last few tips. Per tip, larger tables follow full ones; the oldest go."""

    def __init__(self, *, slots: tuple[int, ...] = SLOTS, tips: int = TIPS_KEPT) -> None:
        self._sizes, self._tips_kept = slots, tips
        self._tips: OrderedDict[bytes, list[_Table]] = OrderedDict()

    def is_new(self, tip_le: bytes, hash_le: bytes) -> bool:
        """Whether this header was not seen on this tip before; it is remembered from now on."""
        key = int.from_bytes(hash_le[:8], "little") or 1
        tables = self.tables(tip_le)
        if any(key in table for table in tables[:-1]) or not tables[-1].add(key):
            return False
        if not tables[-1].room:
            self.grow(tables)
        return True

    def tables(self, tip_le: bytes) -> list[_Table]:
        """The tables of a tip; keys are added to the last, which has room."""
        tables = self._tips.get(tip_le)
        if tables is None:
            tables = self._tips[tip_le] = [_Table(self._sizes[0])]
            while len(self._tips) > self._tips_kept:
                self._tips.popitem(last=False)
        return tables

    def grow(self, tables: list[_Table]) -> None:
        """The last table of a tip is full: begin another."""
        tables.append(_Table(self._sizes[min(len(tables), len(self._sizes) - 1)]))
        del tables[:-MOST_TABLES]
