"""The tip that work is for: a block's hash, since when, and whether what names another one is news or old."""

from __future__ import annotations

from collections import OrderedDict

from solominer.work.instant import Instant

_LEFT_KEPT = 16


class Tip:
    """`hash_le` is the tip in internal order, b'' before the first; `at` when it became the tip; `height` its own."""

    def __init__(self) -> None:
        self.hash_le = b""
        self.at: Instant | None = None
        self.height = 0
        self._left: OrderedDict[bytes, None] = OrderedDict()
        self._doubted: set[tuple[str, bytes]] = set()

    def move(self, hash_le: bytes, at: Instant) -> bool:
        """Take another tip. Whether it is one that was left before: the chain was reorganized."""
        if self.hash_le:
            self._left[self.hash_le] = None
            while len(self._left) > _LEFT_KEPT:
                self._left.popitem(last=False)
        returned = hash_le in self._left
        self._left.pop(hash_le, None)
        self._doubted.clear()
        self.hash_le, self.at = hash_le, at
        return returned

    def is_old_news(self, source: str, hash_le: bytes) -> bool:
        """Whether this names a tip that was left: asked for before the tip moved, perhaps, so it is asked for again.

        What says so again was asked for since, and is believed.
        """
        if hash_le not in self._left or (source, hash_le) in self._doubted:
            return False
        self._doubted.add((source, hash_le))
        return True

    def confirmed(self) -> None:
        """A template names this tip: what named an older one before was late, and may be late again."""
        self._doubted.clear()
