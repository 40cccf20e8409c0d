"""Which headers have been handed in on a tip: memory is bounded, and so are the odds of a mistake.

A header is remembered by 64 bits of its hash. An honest share is taken for a duplicate with odds of n / 2**64 where n
are remembered (at most 2**20: below 1e-13); even then a block is submitted, since that is checked before. At least the
last 2**19 shares of each of the last four tips are remembered, which is 870 a second between two blocks. Memory is 16
bytes a share, and at most 64 MB in all.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from itertools import chain

SLOTS = (1 << 10, 1 << 14, 1 << 18, 1 << 19)
MOST_TABLES = 4
TIPS_KEPT = 4


class _Table:
    """An open-addressing hash set of 64-bit numbers other than 0, full at half its slots."""

    __slots__ = ("mask", "room", "slots")

    def __init__(self, slots: int) -> None:
        self.slots = array("Q", [0]) * slots
        self.mask = slots - 1
        self.room = slots // 2

    def add(self, key: int) -> bool:
        """Whether `key` is new; it is in the table afterwards."""
        at = self._find(key)
        if self.slots[at]:
            return False
        self.slots[at] = key
        return True

    def __contains__(self, key: int) -> bool:
        return self.slots[self._find(key)] != 0

    def _find(self, key: int) -> int:
        slots, mask = self.slots, self.mask
        at = key & mask
        while slots[at] and slots[at] != key:
            at = (at + 1) & mask
        return at


class Seen:
    """The headers of one tip in `tables`: larger ones follow full ones, and the oldest go. Keys are added to the last.

    At `directory_at` are the tables' addresses and masks, in pairs, for compiled code.
    """

    __slots__ = ("_directory", "_sizes", "directory_at", "tables")

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._sizes = sizes
        self.tables: list[_Table] = []
        self._grow()

    @property
    def room(self) -> int:
        """How many keys the last table takes; at least 1."""
        return self.tables[-1].room

    def is_new(self, key: int) -> bool:
        """Whether `key` was not seen before; it is remembered from now on."""
        if any(key in table for table in self.tables[:-1]) or not self.tables[-1].add(key):
            return False
        self.used(1)
        return True

    def used(self, added: int) -> None:
        """So many keys, at most `room`, were added to the last table."""
        self.tables[-1].room -= added
        if not self.tables[-1].room:
            self._grow()

    def _grow(self) -> None:
        self.tables.append(_Table(self._sizes[min(len(self.tables), len(self._sizes) - 1)]))
        del self.tables[:-MOST_TABLES]
        pairs = [(table.slots.buffer_info()[0], table.mask) for table in self.tables]
        self._directory = array("Q", chain.from_iterable(pairs))
        self.directory_at = self._directory.buffer_info()[0]


class Duplicates:
    """The headers seen on the last few tips."""

    def __init__(self, *, slots: tuple[int, ...] = SLOTS) -> None:
        self._sizes = slots
        self._tips: OrderedDict[bytes, Seen] = OrderedDict()

    def is_new(self, tip_le: bytes, hash_le: bytes) -> bool:
        """Whether this header was not seen on this tip before; it is remembered from now on."""
        return self.on(tip_le).is_new(int.from_bytes(hash_le[:8], "little") or 1)

    def on(self, tip_le: bytes) -> Seen:
        """The headers seen on a tip."""
        seen = self._tips.get(tip_le)
        if seen is None:
            seen = self._tips[tip_le] = Seen(self._sizes)
            while len(self._tips) > TIPS_KEPT:
                self._tips.popitem(last=False)
        return seen
