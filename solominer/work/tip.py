"""The tip that work builds on, and whether news of another tip is new or outdated."""

from __future__ import annotations

from collections import OrderedDict

from solominer.work.instant import Instant

_LEFT_KEPT = 16


class Tip:
    """`hash_le` is the tip in internal byte order (b'' before the first), `at` when it became the tip."""

    def __init__(self) -> None:
        self.hash_le = b""
        self.at: Instant | None = None
        self.height = 0
        self._left: OrderedDict[bytes, None] = OrderedDict()
        self._doubted: set[tuple[str, bytes]] = set()

    def move(self, hash_le: bytes, at: Instant) -> bool:
        """Change the tip; returns whether it was the tip before, after a reorganization back to it."""
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
        """Whether this names a former tip for the first time: the answer may be outdated, so ask again.

        A second answer from the same source is newer than the change, and is accepted.
        """
        if hash_le not in self._left or (source, hash_le) in self._doubted:
            return False
        self._doubted.add((source, hash_le))
        return True

    def confirmed(self) -> None:
        """A template confirmed this tip: sources that named an older one were outdated, and may be so again."""
        self._doubted.clear()
