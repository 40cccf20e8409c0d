"""Plain log lines where there is no terminal: time, level, logger, message."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from solominer.errors import printable, printable_lines
from solominer.views.snapshot import AlarmView

_JOURNAL_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


_LONGEST_RECORD = 20_000
"""Characters of one record, its traceback included."""


class _LineFormatter(logging.Formatter):
    """One event a line, UTC with milliseconds; under systemd with its priority and without the time it adds itself.

    Whatever a record quotes is made printable, and further lines of it (a traceback) are indented, so that no foreign
    text can pass for a line of its own.
    """

    @staticmethod
    def converter(secs: float | None = None) -> time.struct_time:
        """UTC, whatever the machine's zone."""
        return time.gmtime(secs)

    def __init__(self, *, under_systemd: bool) -> None:
        stamp = "" if under_systemd else "%(asctime)s.%(msecs)03dZ "
        super().__init__(f"{stamp}%(levelname)-8s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._under_systemd = under_systemd

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_JOURNAL_PRIORITY.get(record.levelno, 6)}>" if self._under_systemd else ""
        first, *more = printable_lines(super().format(record), _LONGEST_RECORD).split("\n")
        return "\n".join([priority + first, *(f"{priority}  {line}" for line in more)])


class RecentEvents(logging.Handler):
    """Keeps the last lines for the live view, (Unix seconds, text), and the last alarms."""

    def __init__(self, size: int = 50) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[tuple[float, str]] = deque(maxlen=size)
        self.alarms: deque[AlarmView] = deque(maxlen=size)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line. A record with an attribute `alarm` (severity, code, message, what to do) is an alarm."""
        self.lines.append((record.created, printable(record.getMessage())))
        alarm: tuple[str, str, str, str] | None = getattr(record, "alarm", None)
        if alarm is not None:
            self.alarms.append(AlarmView(record.created, *map(printable, alarm)))


@contextmanager
def logged_to(handler: logging.Handler) -> Iterator[None]:
    """While the block runs, everything that is logged goes to `handler`, too, as lines with the time."""
    root = logging.getLogger("solominer")
    handler.setFormatter(_LineFormatter(under_systemd=False))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def set_up_logging(level: str, *, live_view: bool) -> RecentEvents:
    """Route the program's logging: to stderr as lines, or, while the live view is on, into it alone."""
    recent = RecentEvents()
    root = logging.getLogger("solominer")
    root.handlers.clear()
    root.setLevel(level.upper())
    root.propagate = False
    root.addHandler(recent)
    if not live_view:
        lines = logging.StreamHandler(sys.stderr)
        lines.setFormatter(_LineFormatter(under_systemd="JOURNAL_STREAM" in os.environ))
        root.addHandler(lines)
    return recent
