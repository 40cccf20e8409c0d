"""What is wrong with nodes, in the log: of each node one line a minute for each fault, however often it comes.

A node that was stolen can send what it wants as fast as its machine can; the log and the ledger stay readable.
"""

from __future__ import annotations

import logging
import time

SAID_SECS = 60.0

log = logging.getLogger(__name__)


class Complaints:
    """Remembers what was said of which node."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        """When, by node and text, and how often it would have been said since."""

    def say(self, level: int, node: str, text: str, *values: object) -> bool:
        """Log "node NODE TEXT" with these values, unless that was said of it just now; whether it was logged."""
        now = time.monotonic()
        at, more = self._said.get((node, text), (None, 0))
        if at is not None and now - at < SAID_SECS:
            self._said[node, text] = at, more + 1
            return False
        self._said[node, text] = now, 0
        log.log(level, f"node %s {text}%s", node, *values, f" ({more} more since this was said last)" if more else "")
        return True
