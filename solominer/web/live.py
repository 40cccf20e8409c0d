"""What the records say at this moment, for all endpoints: read at most once a second, in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

from solominer.records.evidence.state import Head, read_report
from solominer.records.files import is_folder
from solominer.records.ledger.reader import LedgerReader
from solominer.records.report.report import build_report
from solominer.records.tree import Part, Tree
from solominer.web.problems import Unavailable
from solominer.web.tail import Entry, Tail

FRESH_SECS = 1.0
INDEX_WAIT_SECS = 5.0

Report = dict[str, Any]


class Live:
    """Follows the records of one network. `listeners` are called on the event loop with new entries of the ledger."""

    def __init__(self, tree: Tree, ledger: LedgerReader, network: str) -> None:
        self.tree, self.ledger, self._network = tree, ledger, network
        self.listeners: list[Callable[[list[Entry]], None]] = []
        self.lock = Lock()
        self.tail = Tail(tree)
        self._polled_mono = float("-inf")
        self._polling: asyncio.Task[None] | None = None
        self._index_lock = Lock()
        self._indexed: object = None
        self._sealed: tuple[Head | None, Report | None] = (None, None)
        self._report: tuple[object, Report | None] = (None, None)

    # --- on the event loop ---------------------------------------------------------------------------------------

    async def fresh(self) -> object:
        """Read what is new, unless that was done within the last second; returns a stamp that changes with it."""
        if self._polling is None and time.monotonic() - self._polled_mono >= FRESH_SECS:
            self._polling = asyncio.create_task(self._poll())
        if self._polling is not None:
            await asyncio.shield(self._polling)
        return self.stamp

    @property
    def stamp(self) -> object:
        """Changes whenever the records have changed."""
        return self.tail.lines, self.tail.state

    async def _poll(self) -> None:
        try:
            news = await asyncio.to_thread(self._read)
        finally:
            self._polled_mono, self._polling = time.monotonic(), None
        for listener in list(self.listeners) if news else ():
            listener(news)

    def _read(self) -> list[Entry]:
        with self.lock:
            return self.tail.poll()

    # --- in threads ----------------------------------------------------------------------------------------------

    def index(self) -> LedgerReader:
        """The ledger's index, up to date. Raises Unavailable without records, or while it is made for a long ledger."""
        stamp, state = self.stamp, self.tail.state
        if stamp == self._indexed:
            return self.ledger
        if not is_folder(self.tree.root):
            raise no_records()
        if not self._index_lock.acquire(timeout=INDEX_WAIT_SECS):
            raise Unavailable("the ledger is being indexed", "try again in a minute")
        try:
            same_hours = isinstance(self._indexed, tuple) and self._indexed[1] == state
            self.ledger.update(state.unsealed if same_hours else None)
            self._indexed = stamp
        finally:
            self._index_lock.release()
        return self.ledger

    def report(self) -> Report | None:
        """The report of the open hour so far, or of the newest hour if none is open; None without any record."""
        with self.lock:
            stamp, tail = self.stamp, self.tail
            if self._report[0] != stamp:
                report = self._last_sealed(tail.state.head)
                if tail.fold is not None and tail.part is not None and tail.fold.lines:
                    report = self._so_far(tail, tail.part, report)
                self._report = stamp, report
            return self._report[1]

    def _so_far(self, tail: Tail, part: Part, previous: Report | None) -> Report:
        assert tail.fold is not None

        def build(previous: Report | None) -> Report:
            return build_report(
                tail.fold,  # type: ignore[arg-type]
                network=self._network,
                tree=self.tree.root.name,
                part=part,
                why="open",
                head=tail.state.head,
                previous=previous,
                retired=[],
            )

        with suppress(LookupError, TypeError, AttributeError):
            return build(previous)
        return build(None)  # the sealed report is malformed: the verifier reports it

    def _last_sealed(self, head: Head | None) -> Report | None:
        if self._sealed[0] != head:
            self._sealed = head, None if head is None else read_report(self.tree, head.part)
        return self._sealed[1]


def no_records() -> Unavailable:
    """The error where there is nothing to read."""
    return Unavailable("there are no records yet", "they begin with the first `solominer run`")


def need(report: Report | None) -> Report:
    """The report. Raises Unavailable if there is none yet."""
    if report is None:
        raise no_records()
    return report
