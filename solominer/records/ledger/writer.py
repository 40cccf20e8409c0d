"""The writer thread, behind a bounded queue."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import Any

from solominer.records.ledger.books import Books
from solominer.records.settings import Alarm, RecorderSettings

FLUSH_SECS = 1.0
_MANY = 256
"""So many calls do not wait for the next flush."""


class Writer:
    """Calls methods in the order in which they were posted, and flushes the Books, every FLUSH_SECS or when urgent.

    Not at each post: the event loop, which publishes jobs, would wait for the thread to let go of the interpreter.
    """

    def __init__(self, books: Books, settings: RecorderSettings, alarm: Alarm) -> None:
        self._books = books
        self._most_waiting = settings.queue_entries
        self._alarm = alarm
        self._changed = Condition()
        self._queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._lost = 0
        self._urgent = self._stopping = False
        self._complained = False
        self._thread = Thread(target=self._run, name="records", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def post(self, call: Callable[..., None], *args: Any, droppable: bool = False, urgent: bool = False) -> None:
        """Queue `call(*args)`, to be done at once if `urgent`. A `droppable` one is counted as lost in a full queue."""
        with self._changed:
            if droppable and len(self._queue) >= self._most_waiting:
                self._lost += 1
                return
            self._queue.append((call, args))
            self._urgent = self._urgent or urgent
            if self._is_due():
                self._changed.notify()

    def drain(self, timeout_secs: float | None = None) -> bool:
        """Wait until everything posted so far is done and flushed; False on timeout, or if the disk fails."""
        if not self._thread.is_alive():
            return False
        done, failing = Event(), []

        def look() -> None:
            failing.append(bool(self._books.trouble))
            done.set()

        self.post(self._books.flush)
        self.post(look, urgent=True)
        return done.wait(timeout_secs) and failing == [False]

    def stop(self) -> None:
        """Carry out everything posted, then end the thread. Blocks."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        flush_at = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, max(0.0, flush_at - time.monotonic()))
                calls, self._queue, self._urgent = self._queue, deque(), False
                lost, self._lost = self._lost, 0
                ends = self._stopping and not calls
            if ends:
                return
            if lost:
                self._call(self._books.lost, (lost,))
            for call, args in calls:
                self._call(call, args)
            if self._books.urgent or time.monotonic() >= flush_at:
                self._call(self._books.flush, ())
                flush_at = time.monotonic() + FLUSH_SECS

    def _is_due(self) -> bool:
        return self._urgent or self._stopping or len(self._queue) >= _MANY

    def _call(self, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        """A bug costs one entry, not all records; the first one is reported with its traceback."""
        try:
            call(*args)
        except Exception:  # noqa: BLE001 - the supervisor's edge of this thread
            if not self._complained:
                self._complained = True
                todo = "mining continues; please report this traceback"
                self._alarm("high", "records-fault", traceback.format_exc(), todo)
