"""Bounds for an end that has several steps."""

from __future__ import annotations

import logging
import os
import threading
import time

LAST_ANSWERS_SECS = 10.0
"""How long a run that ends waits for the answers of nodes and pools to what it found last."""

log = logging.getLogger("solominer.daemon.daemon")


class Deadline:
    """The moment, `secs` from now, at which all steps are to be done."""

    def __init__(self, secs: float) -> None:
        self._at = time.monotonic() + secs

    def left(self, most_secs: float) -> float:
        """Seconds for a step that has at most `most_secs`; 0 when the time is up."""
        return max(0.0, min(most_secs, self._at - time.monotonic()))


def exit_after(secs: float, code: int) -> None:
    """End this process in `secs` if it is still there: a disk or a node that hangs ends no thread that waits for it.

    Nothing is cleaned up then. Found blocks are on the disk as soon as they are found, and are sent at the next start.
    """

    def end() -> None:
        log.critical("not all parts of the daemon ended within %g s: it exits now", secs)
        os._exit(code)

    timer = threading.Timer(secs, end)
    timer.daemon = True
    timer.start()
