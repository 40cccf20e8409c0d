"""Bounds on what one connection may send: lines a second, and blocks of one work. Sans I/O."""

from __future__ import annotations

BLOCKS_PER_WORK = 8
"""Blocks of one work that the daemon gets from a connection. All have the same parent, so one is wanted and the others
are spare; on regtest a miner finds thousands before it hears of the next tip. What comes beyond counts as a share.

Each connection has a bound of its own, so that none uses up another's; and so has each work: if something was wrong
with the blocks of one, those of the next, on the same tip, are wanted again."""

WORKS_COUNTED = 1024
"""More works than are kept at a time."""


class LineRate:
    """Lines per second, with a burst of two seconds' lines. Times are monotonic seconds."""

    __slots__ = ("_room", "_since")

    def __init__(self, per_sec: float, now: float) -> None:
        self._room, self._since = 2 * per_sec, now

    def pause_secs(self, lines: int, per_sec: float, now: float) -> float:
        """Count lines; for how long no more should be read."""
        room, most = self._room + (now - self._since) * per_sec, 2 * per_sec
        self._room = room = (room if room < most else most) - lines
        self._since = now
        return -room / per_sec if room < 0 else 0.0


class BlockBudget:
    """Counts the blocks of each work."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def admits(self, work_id: int) -> bool:
        """Whether the daemon is to have another block of this work."""
        counts = self._counts
        count = counts[work_id] = counts.get(work_id, 0) + 1
        if len(counts) > WORKS_COUNTED:
            del counts[next(iter(counts))]
        return count <= BLOCKS_PER_WORK
