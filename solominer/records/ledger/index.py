"""SQLite index of the ledger, for fast queries of blocks, shares and errors.

It stores the position of each line, not its content. Queries bring it up to date, so it costs the daemon nothing; it
can be deleted or rebuilt at any time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from solominer.config.paths import open_regular
from solominer.errors import RecordsError
from solominer.records.files import is_regular, optional, shown, warn_once
from solominer.records.ledger.jsonlines import parse_object, read_lines
from solominer.records.ledger.ledger import is_frame, ledger_path
from solominer.records.tree import Part, Tree

FILE = "index.sqlite"
VERSION = 1
QUESTIONS = {"blocks": "block*", "shares": "share", "errors": "error", "all": "*"}
"""Query names, and the kinds of entries (GLOB) that they select."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, part TEXT NOT NULL UNIQUE, indexed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
    file INTEGER NOT NULL REFERENCES files(id), offset INTEGER NOT NULL, size INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_kind ON entries (kind, at);
CREATE INDEX IF NOT EXISTS by_time ON entries (at);
CREATE INDEX IF NOT EXISTS by_seq ON entries (seq, at);
CREATE INDEX IF NOT EXISTS by_kind_and_seq ON entries (kind, seq, at);
"""
_QUERY = (
    "SELECT part, offset, size FROM entries JOIN files ON files.id = entries.file"
    " WHERE kind GLOB ? AND at >= ? AND at < ? AND seq < ? ORDER BY seq DESC LIMIT ?"
)
_FOLLOW = (
    "SELECT part, offset, size FROM entries JOIN files ON files.id = entries.file"
    " WHERE kind IN ({}) AND seq > ? AND at >= ? ORDER BY seq"
)
_BATCH = 10_000
_LAST = 2**53
_FOREVER = 1e18


class LedgerIndex:
    """One network's index. Every call opens the database, so several processes may use it at once."""

    def __init__(self, tree: Tree, *, timeout_secs: float = 30.0) -> None:
        """`timeout_secs` is how long a call waits for another process that is writing the index."""
        self._tree = tree
        self._file = tree.root / FILE
        self._timeout_secs = timeout_secs

    def update(self, parts: Iterable[Part] | None = None) -> int:
        """Index new lines; returns their number. A damaged index is rebuilt. Raises RecordsError.

        With `parts`, only these hours are read, unless the index is new.
        """
        try:
            with self._open() as database:
                return self._take_in(database, parts)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._failed(error) from error
            return self.rebuild()

    def rebuild(self) -> int:
        """Rebuild the index from the ledger; returns its number of lines. Raises RecordsError."""
        try:
            for suffix in ("", "-journal", "-wal", "-shm"):
                Path(f"{self._file}{suffix}").unlink(missing_ok=True)
            with self._open() as database:
                return self._take_in(database)
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._failed(error) from error

    def query(self, question: str, *, since: float = 0.0, limit: int | None = None) -> list[dict[str, Any]]:
        """Entries of QUESTIONS[question] from `since` on (Unix seconds), oldest first.

        With `limit`, only the newest ones. Lines deleted by retention are skipped. If the index is unusable the whole
        ledger is read. Raises RecordsError for an unknown question.
        """
        if question not in QUESTIONS:
            raise RecordsError(f"unknown query {question!r:.40}", f"use one of {', '.join(QUESTIONS)}")
        arguments = (QUESTIONS[question], since, _FOREVER, _LAST, -1 if limit is None else limit)
        try:
            self.update()
            rows = self._rows(arguments)
        except (RecordsError, sqlite3.DatabaseError) as error:
            warn_once("index", f"reading the whole ledger, because its index is unusable: {shown(error, 400)}")
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
                self._take_in(database)
                rows = database.execute(_QUERY, arguments).fetchall()
        return list(self._lines(rows[::-1]))

    def page(
        self, kind: str, *, since: float = 0.0, until: float = _FOREVER, before: int = _LAST, limit: int
    ) -> list[dict[str, Any]]:
        """The newest `limit` entries of a kind (GLOB) before the sequence number `before`, newest first.

        Does not bring the index up to date, unless it is damaged or gone. Raises RecordsError.
        """
        arguments = (kind, since, until, before, limit)
        try:
            rows = self._rows(arguments)
        except sqlite3.DatabaseError:
            self.update()
            try:
                rows = self._rows(arguments)
            except sqlite3.DatabaseError as error:
                raise self._failed(error) from error
        return list(self._lines(rows))

    def _rows(self, arguments: tuple[str, float, float, int, int]) -> list[tuple[str, int, int]]:
        with self._open() as database:
            return database.execute(_QUERY, arguments).fetchall()

    def follow(self, kinds: Sequence[str], *, after_seq: int = 0, since: float = 0.0) -> Iterator[dict[str, Any]]:
        """Entries of these kinds behind the one numbered `after_seq`, from `since` (Unix seconds) on, oldest first.

        Raises RecordsError if the index cannot be used.
        """
        self.update()
        try:
            with self._open() as database:
                query = _FOLLOW.format(", ".join("?" * len(kinds)))
                rows = database.execute(query, (*kinds, after_seq, since)).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from error
        return self._lines(rows)

    def _lines(self, rows: list[tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
        file, of_part = None, ""
        try:
            for part, offset, size in rows:
                if part != of_part:
                    if file is not None:
                        file.close()
                    of_part, file = part, None
                    path = ledger_path(self._tree, Part.parse(part))
                    with suppress(OSError):
                        file = open_regular(path)
                if file is not None:
                    file.seek(offset)
                    entry = parse_object(file.read(size))
                    if entry is not None:
                        yield entry
        finally:
            if file is not None:
                file.close()

    def _hours(self) -> list[Part]:
        """All hours that are to be indexed, oldest first."""
        return self._tree.parts("ledger")

    def _take_in(self, database: sqlite3.Connection, parts: Iterable[Part] | None = None) -> int:
        added = 0
        if database.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
            raise sqlite3.DatabaseError("created by another version")
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("BEGIN IMMEDIATE")
        known = {part: (id_, indexed) for id_, part, indexed in database.execute("SELECT * FROM files")}
        for part in self._hours() if parts is None or not known else parts:
            id_, indexed = known.get(part.path, (None, 0))
            path = ledger_path(self._tree, part)
            if not is_regular(path) or path.stat().st_size <= indexed:
                continue
            if id_ is None:
                id_ = database.execute("INSERT INTO files (part) VALUES (?)", (part.path,)).lastrowid
            with optional(f"reading {shown(path)}"):
                added += self._take(database, id_, path, indexed)
        database.commit()
        return added

    def _take(self, database: sqlite3.Connection, id_: int | None, path: Path, offset: int) -> int:
        """Index the lines of one file from `offset`; an incomplete last line is left for the next update."""
        rows: list[tuple[Any, ...]] = []
        added, insert = 0, "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)"
        for line in read_lines(path, offset):
            entry = line.value
            if entry is not None and is_frame(entry):
                rows.append((entry["seq"], entry["at"], entry["kind"], id_, line.offset, line.size))
                offset = line.offset + line.size
            if len(rows) >= _BATCH:
                database.executemany(insert, rows)
                added += len(rows)
                rows.clear()
        database.executemany(insert, rows)
        database.execute("UPDATE files SET indexed = ? WHERE id = ?", (offset, id_))
        return added + len(rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if os.path.lexists(self._file) and not is_regular(self._file):
            raise sqlite3.OperationalError("it is not a regular file")
        with closing(sqlite3.connect(self._file, timeout=self._timeout_secs, isolation_level=None)) as database:
            yield database

    def _failed(self, error: Exception) -> RecordsError:
        return RecordsError(
            f"the ledger's index {self._file} cannot be used: {error}",
            "run `solominer ledger rebuild` on a disk with room",
        )
