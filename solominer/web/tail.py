"""Follows the ledger of the open hour: its sums so far, and each entry as it is written. Nothing is written or locked.

Which hour is open stands in state.json; after a crash it is the hour that was open then.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from solominer.records.evidence.state import STATE, State, saved_state, scan_state
from solominer.records.ledger.jsonlines import read_lines
from solominer.records.ledger.ledger import is_frame, ledger_path
from solominer.records.report.hour import HourFold
from solominer.records.tree import HOUR_SECS, Part, Tree
from solominer.web.minutes import Minutes
from solominer.web.shares import Jobs, Share

KEEP_BEST = 20
SCAN_SECS = 60.0
"""Without a readable state.json the tree is scanned this often."""

Entry = dict[str, Any]


class Tail:
    """Used by one thread at a time. `part` is the open hour and `fold` its sums; None if no hour is open.

    `state` names the open hours and the newest sealed one. `session` is the best share since the newest `open` line
    that was seen, whose number is `session_seq` (None: the run began before the first hour read here).
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.state = State()
        self.part: Part | None = None
        self.fold: HourFold | None = None
        self.jobs = Jobs()
        self.minutes = Minutes()
        self.session: Share | None = None
        self.session_seq: int | None = None
        self.lines = 0
        self._folds: dict[Part, HourFold] = {}
        self._offsets: dict[Part, int] = {}
        self._state_seen: object = None
        self._scanned_mono = float("-inf")
        self._begun = False

    def poll(self) -> list[Entry]:
        """Read what is new and return it, oldest first; the first call returns nothing. Raises OSError."""
        self._look_at_state()
        if not self._begun:
            self._begin()
        news: list[Entry] = []
        ended = [part for part in self._offsets if part not in self.state.unsealed]
        for part in (*ended, *self.state.unsealed):
            news += self._read(part)
        for part in ended:
            del self._offsets[part], self._folds[part]
        self.part = self.state.unsealed[-1] if self.state.unsealed else None
        self.fold = None if self.part is None else self._folds[self.part]
        begun, self._begun = self._begun, True
        return news if begun else []

    def _look_at_state(self) -> None:
        seen = _stamp(self._tree.root / STATE)
        if seen is not None and seen == self._state_seen:
            return
        state = None if seen is None else saved_state(self._tree)
        if state is None:
            if time.monotonic() - self._scanned_mono < SCAN_SECS:
                return
            self._scanned_mono, state = time.monotonic(), scan_state(self._tree)
        self._state_seen, self.state = seen, state

    def _begin(self) -> None:
        """Read the hours before the open one that the last 70 minutes touch."""
        recent = [part for part in self._tree.parts("ledger") if part.start >= time.time() - 2 * HOUR_SECS]
        for part in recent[-3:]:
            if part not in self.state.unsealed:
                self._read(part)

    def _read(self, part: Part) -> list[Entry]:
        path = ledger_path(self._tree, part)
        size, offset = _size(path), self._offsets.get(part, 0)
        if part not in self._folds or size < offset:
            self._folds[part], offset = HourFold(KEEP_BEST), 0
        fold, news = self._folds[part], []
        for line in read_lines(path, offset) if size > offset else ():
            if line.value is None and line.offset + line.size >= size:
                break  # it may still be incomplete
            offset = line.offset + line.size
            if line.value is not None and is_frame(line.value):
                self._take(line.value, fold)
                news.append(line.value)
        self._offsets[part] = offset
        self.lines += len(news)
        return news

    def _take(self, entry: Entry, fold: HourFold) -> None:
        fold.add(entry)
        if entry["kind"] == "work":
            self.jobs.add(entry)
        elif entry["kind"] == "counters":
            self.minutes.reading(entry["at"], fold)
        elif entry["kind"] == "open":
            self.session, self.session_seq = None, entry["seq"]
        elif entry["kind"] == "share" and (share := self.jobs.share(entry)) is not None:
            tally = fold.counts.workers.get(share.worker)
            self.minutes.share(share.at, share.difficulty, counting=tally is None or not tally.credited)
            if self.session is None or share.hash < self.session.hash:
                self.session = share


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
