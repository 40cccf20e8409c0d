"""Has this share been seen before? One table for all workers, of fixed size however many shares come.

A share seen twice means that somebody did the same work twice: one worker that repeats a range, or two on one space.
"""

from __future__ import annotations

from array import array

_NOBODY = -1


class DuplicateFinder:
    """Remembers shares in `slots` places (a power of two, 12 bytes each), the newest overwriting what lay there.

    It never takes two different shares for one, but for a chance of 2**-64 a share; it forgets an old share with chance
    1 - exp(-n / slots) after n newer ones.
    """

    def __init__(self, slots: int = 1 << 17) -> None:
        if slots & (slots - 1) or slots <= 0:
            raise ValueError("the number of slots is a power of two")
        self._mask = slots - 1
        self._prints = array("Q", [0]) * slots
        self._workers = array("i", [_NOBODY]) * slots

    def seen(self, hash_le: bytes, worker: int) -> int | None:
        """The worker (a number >= 0) that brought this share before, or None; from now on it is this one's."""
        print_ = int.from_bytes(hash_le[:8], "little")
        slot = int.from_bytes(hash_le[8:12], "little") & self._mask  # low bytes: no target makes them zero
        before = self._workers[slot]
        same = before != _NOBODY and self._prints[slot] == print_
        self._prints[slot], self._workers[slot] = print_, worker
        return before if same else None
