"""Retry delays and log messages while a node is unreachable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_log = logging.getLogger("solominer.node.client")

FIRST_WAIT_SECS, LONGEST_WAIT_SECS = 0.1, 2.0
REMIND_SECS = 60.0


class Outage:
    """Tracks whether one node is unreachable. `steady` is a monotonic clock in seconds."""

    def __init__(self, node: str, steady: Callable[[], float] = time.monotonic) -> None:
        self._node, self._steady = node, steady
        self._since: float | None = None
        self._reminded = 0.0
        self._wait_secs = FIRST_WAIT_SECS

    @property
    def ongoing(self) -> bool:
        """Whether it is unreachable now."""
        return self._since is not None

    def begins(self, reason: str) -> bool:
        """Record a failure, logged at first and once a minute; returns whether it is the first."""
        now = self._steady()
        if self._since is None:
            self._since = self._reminded = now
            _log.warning("node %s is unreachable: %s", self._node, reason)
            return True
        if now - self._reminded >= REMIND_SECS:
            self._reminded = now
            _log.warning("node %s has been unreachable for %.0f s: %s", self._node, now - self._since, reason)
        return False

    def next_wait_secs(self) -> float:
        """How long to wait before the next attempt: twice as long each time, up to LONGEST_WAIT_SECS."""
        wait_secs, self._wait_secs = self._wait_secs, min(2 * self._wait_secs, LONGEST_WAIT_SECS)
        return wait_secs

    def over(self) -> bool:
        """Record that it answered; returns whether it was unreachable before."""
        since, self._since, self._wait_secs = self._since, None, FIRST_WAIT_SECS
        if since is not None:
            _log.info("node %s is reachable again after %.1f s", self._node, self._steady() - since)
        return since is not None
