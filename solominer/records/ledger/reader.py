"""Reads the ledger where its index cannot be used, as on a full disk: by an index in memory of the newest hours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

from solominer.errors import RecordsError
from solominer.records.files import shown, warn_once
from solominer.records.ledger.index import QUESTIONS, LedgerIndex
from solominer.records.ledger.ledger import ledger_path
from solominer.records.tree import Part, Tree, utc_text

NEWEST_BYTES = 32 << 20
"""Only the newest hours whose ledgers are so large together are indexed in memory, which takes as much again."""


class LedgerReader:
    """Queries as LedgerIndex has them. `missing` says what they leave out and why; "" if nothing. Thread-safe."""

    def __init__(self, tree: Tree, *, timeout_secs: float) -> None:
        """`timeout_secs` is how long a call waits for another process that is writing the index."""
        self._on_disk = LedgerIndex(tree, timeout_secs=timeout_secs)
        self._newest: _NewestHours | None = None
        self._tree = tree
        self.missing = ""

    def update(self, parts: Iterable[Part] | None = None) -> None:
        """Index new lines; with `parts`, only those of these hours are new."""
        try:
            self._on_disk.update(parts if self._newest is None else None)
        except RecordsError as error:
            self._fall_back(error)
        else:
            self._newest, self.missing = None, ""

    def page(self, kind: str, **bounds: Any) -> list[dict[str, Any]]:
        """As LedgerIndex.page."""
        if self._newest is None:
            try:
                return self._on_disk.page(kind, **bounds)
            except RecordsError as error:
                return self._fall_back(error).page(kind, **bounds)
        return self._newest.page(kind, **bounds)

    def query(self, question: str, *, since: float = 0.0, limit: int | None = None) -> list[dict[str, Any]]:
        """As LedgerIndex.query, for one of its QUESTIONS."""
        self.update()
        return self.page(QUESTIONS[question], since=since, limit=-1 if limit is None else limit)[::-1]

    def follow(self, kinds: Sequence[str], **bounds: Any) -> Iterator[dict[str, Any]]:
        """As LedgerIndex.follow."""
        try:
            return self._on_disk.follow(kinds, **bounds)
        except RecordsError as error:
            return self._fall_back(error).follow(kinds, **bounds)

    def _fall_back(self, error: RecordsError) -> _NewestHours:
        warn_once("index", f"only the ledger's newest hours are shown: {shown(error, 400)}")
        newest = self._newest or _NewestHours(self._tree)
        newest.update()
        self._newest = newest
        self.missing = "" if newest.complete else f"entries before {utc_text(newest.first.start)}: {error.what}"
        return newest


class _NewestHours(LedgerIndex):
    """The index of the newest hours, from `first` on, in memory; `complete` if these are all."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._lock = RLock()
        self.first, self.complete = Part.at(0), False
        self._database = _in_memory()

    def _hours(self) -> list[Part]:
        every = self._tree.parts("ledger")
        newest = _newest_of(self._tree, every)
        self.complete = len(newest) == len(every)
        return newest

    def update(self, parts: Iterable[Part] | None = None) -> int:
        """As LedgerIndex.update, always of the newest hours; older ones are forgotten."""
        with self._lock:
            first = next(iter(self._hours()), self.first)
            if first != self.first:
                self.first = first
                self._database.close()
                self._database = _in_memory()
            return super().update()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._database


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def _newest_of(tree: Tree, parts: list[Part]) -> list[Part]:
    """The newest of these, oldest first: at least one, and no more than NEWEST_BYTES of them."""
    newest: list[Part] = []
    total = 0
    for part in reversed(parts):
        try:
            total += ledger_path(tree, part).stat().st_size
        except OSError:
            continue
        if newest and total > NEWEST_BYTES:
            break
        newest.insert(0, part)
    return newest
