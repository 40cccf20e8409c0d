"""The shares of nodes at the head: each is judged once, and the server forgets it when it is recorded.

Every share arrives twice: directly, about 1 ms after it was found, and from the stream, again and again until it is
acknowledged. It is when the ledger has it, and a block when it is on disk, so that neither end loses one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

REPEAT_SECS = 4.0
"""A share that was not judged within this time was dropped; it is handed in again when the server sends it again."""
MOST_KEPT = 100_000

Key = tuple[int, bytes, int, int, int]
"""`ShareFound.key`."""


@dataclass(slots=True)
class _Seen:
    """When it was handed in (monotonic), whether it was judged and recorded, and what the server wants for it."""

    at: float
    judged: bool = False
    recorded: bool = False
    replies: list[str] = field(default_factory=list)


class Judged:
    """Remembers the last MOST_KEPT shares, and those that are still to be acknowledged."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Key, _Seen] = OrderedDict()
        self._waiting: list[_Seen] = []

    def take(self, key: Key, reply: str, now: float) -> bool:
        """Whether to hand in this copy. `reply` is where the server wants its acknowledgement, '' for a direct copy."""
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = _Seen(now, replies=[reply] if reply else [])
            while len(self._seen) > MOST_KEPT:
                self._seen.popitem(last=False)
            return True
        if reply:
            seen.replies.append(reply)
            if seen.recorded:
                self._waiting.append(seen)
        if seen.judged or now - seen.at < REPEAT_SECS:
            return False
        seen.at = now
        return True

    def is_recorded(self, key: Key) -> bool:
        """Whether another copy of this share is on disk."""
        seen = self._seen.get(key)
        return seen is not None and seen.recorded

    def judged(self, key: Key) -> None:
        """This one was judged, and handed to the records."""
        seen = self._seen.get(key)
        if seen is not None and not seen.judged:
            seen.judged = True
            self._waiting.append(seen)

    @property
    def waits(self) -> bool:
        """Whether any share is judged that is not acknowledged."""
        return bool(self._waiting)

    def begin(self) -> list[_Seen]:
        """Those judged by now; after the records are written, `acknowledged` says what to tell the server."""
        waiting, self._waiting = self._waiting, []
        return waiting

    @staticmethod
    def recorded(shares: list[_Seen]) -> list[str]:
        """They are on disk: where acknowledgements go."""
        replies = []
        for seen in shares:
            seen.recorded = True
            replies += seen.replies
            seen.replies = []
        return replies

    def again(self, shares: list[_Seen]) -> None:
        """They could not be written."""
        self._waiting += shares
