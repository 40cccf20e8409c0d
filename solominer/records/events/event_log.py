"""Writes the coordinator's events to `events/YYYY/MM/DD/<run>-<number>.jsonl.gz`, one file per run and day.

The first line is the run's initial state; every other line is `[kind, fields, digest of the actions]`, without the
digest if there were no actions. A run's files are numbered from 0 and can only be replayed in order. They are for
debugging and not evidence: no report covers them, and a disk error stops recording with one warning.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from solominer import __version__
from solominer.chain.networks import Network
from solominer.records.events.codec import Encoder, canonical
from solominer.records.files import clear_the_way, reason
from solominer.records.tree import Part, make_folder, walk_files
from solominer.work.actions import Action
from solominer.work.coordinator import Coordinator
from solominer.work.events import Event
from solominer.work.payout import Payout
from solominer.work.policy import Policy

log = logging.getLogger("solominer.records")

FORMAT, VERSION = "solominer events", 3
FOLDER = "events"
FILE = re.compile(r"events/(\d{4}/\d\d/\d\d)/([0-9a-f]{1,32})-(\d{1,6})\.jsonl\.gz", re.ASCII)

DAY_BYTES, ALL_BYTES = 128 << 20, 1 << 30
"""Size limits of a run's file of one day, and of all files together; the oldest runs are deleted first."""

_FLUSH_SECS, _FLUSH_BYTES, _MOST_WAITING = 10.0, 1 << 20, 5_000


@dataclass(frozen=True, slots=True)
class Start:
    """The initial state of a coordinator; with it, its decisions depend on its events alone."""

    network: Network
    nodes: tuple[str, ...]
    payout: Payout
    tag: bytes
    policy: Policy
    run_id: bytes

    def coordinator(self) -> Coordinator:
        """A new coordinator."""
        return Coordinator(self.network, list(self.nodes), self.payout, self.tag, self.policy, self.run_id)


@dataclass(frozen=True, slots=True, order=True)
class EventFile:
    """One file of events, parsed from its name. `day` is YYYY/MM/DD."""

    run: str
    number: int
    day: str
    path: Path


def event_files(root: Path) -> list[EventFile]:
    """All event files below the network's folder, sorted by run and number."""
    found = ((path, FILE.fullmatch(path)) for path in walk_files(root, FOLDER))
    return sorted(EventFile(match[2], int(match[3]), match[1], root / path) for path, match in found if match)


def digest(actions: Sequence[Action]) -> str:
    """A BLAKE2b-64 digest of the actions in hex, '' for none; raw transactions are not covered."""
    if not actions:
        return ""
    values = [[type(action).__name__, canonical(action)] for action in actions]
    return blake2b(json.dumps(values).encode(), digest_size=8).hexdigest()


class EventLog:
    """One run's files. All methods but `take` are called from the writer's thread."""

    def __init__(self, root: Path, free_bytes: int, *, day_bytes: int = DAY_BYTES, all_bytes: int = ALL_BYTES) -> None:
        """Recording stops if less than `free_bytes` are free on the disk."""
        self._root = root
        self._free_bytes, self._day_bytes, self._all_bytes = free_bytes, day_bytes, all_bytes
        self._on = True
        self._why = ""
        self._taken = self._done = 0
        self._start: Start | None = None
        self._run, self._number, self._day = "", 0, ""
        self._file: BinaryIO | None = None
        self._written = self._unflushed = self._run_bytes = 0
        self._flushed_at = 0.0
        self._encoder, self._packer = Encoder(), zlib.compressobj()

    def take(self) -> bool:
        """Whether to call `add` with the next event. Called on the event loop."""
        if self._on and self._taken - self._done >= _MOST_WAITING:  # the disk hangs: bound the memory
            self._end(f"{_MOST_WAITING} events are waiting for the disk")
        self._taken += self._on
        return self._on

    def begin(self, at: float, run: str, start: Start) -> None:
        """Start the files of run `run` (hex) at `at` (Unix seconds)."""
        self._start, self._run = start, run
        self._guarded(lambda: self._open(at))

    def add(self, event: Event, actions: Sequence[Action]) -> None:
        """Write one event and a digest of its actions."""
        self._done += 1
        self._guarded(lambda: self._add(event, actions))

    def add_all(self, batch: Iterable[tuple[Event, Sequence[Action]]]) -> None:
        """As `add`, of several events in their order."""
        for event, actions in batch:
            self.add(event, actions)

    def close(self) -> None:
        """End the run's last file."""
        self._on = False
        with suppress(OSError):  # the last seconds are lost; replay reports an incomplete file
            if self._why:
                self._write(["end", self._why])
            self._close()

    def _guarded(self, work: Callable[[], None]) -> None:
        if not (self._on and self._start is not None):
            return
        try:
            work()
        except OSError as error:
            self._end(reason(error))
            self.close()
        except Exception:
            self._on = False
            raise

    def _end(self, why: str) -> None:
        """Stop permanently: events after a gap cannot be replayed."""
        self._on, self._why = False, why
        log.warning("event recording stopped for this run, mining continues: %s", why)

    def _open(self, at: float) -> None:
        self._close()
        self._day = Part.at(at).path[:10]
        self._make_room()
        path = self._root / FOLDER / self._day / f"{self._run}-{self._number}.jsonl.gz"
        clear_the_way(self._root, path)
        make_folder(path.parent)
        self._file = path.open("xb")
        self._packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._encoder = Encoder()
        self._written = 0
        facts = {"format": FORMAT, "version": VERSION, "solominer": __version__, "run": self._run}
        self._write({**facts, "number": self._number, "start": self._encoder.encode(self._start)})
        self._flush(at)
        self._number += 1

    def _add(self, event: Event, actions: Sequence[Action]) -> None:
        at = event.at.wall
        if Part.at(at).path[:10] > self._day:  # never back, or each step of the clock would start a file
            self._open(at)
        line = [type(event).__name__, self._encoder.encode(event)]
        done = digest(actions)
        self._write([*line, done] if done else line)
        if abs(at - self._flushed_at) >= _FLUSH_SECS or self._unflushed >= _FLUSH_BYTES:
            self._flush(at)
            why = self._full()
            if why:
                self._end(why)
                self.close()

    def _full(self) -> str:
        if self._written > self._day_bytes:
            return f"the limit of {self._day_bytes >> 20} MB per day is reached"
        if self._run_bytes > self._all_bytes:
            return f"the limit of {self._all_bytes >> 20} MB per run is reached; recording restarts with the next run"
        return "the disk is nearly full" if shutil.disk_usage(self._root).free < self._free_bytes else ""

    def _write(self, line: object) -> None:
        if self._file is None:
            return
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        self._unflushed += len(data)
        self._put(self._packer.compress(data))

    def _flush(self, at: float) -> None:
        """Make everything so far readable, even if the file is never finished."""
        self._put(self._packer.flush(zlib.Z_SYNC_FLUSH))
        self._flushed_at, self._unflushed = at, 0
        if self._file is not None:
            self._file.flush()

    def _put(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
            self._written += len(data)
            self._run_bytes += len(data)

    def _close(self) -> None:
        if self._file is not None:
            file = self._file
            self._put(self._packer.flush())
            self._file = None
            file.close()

    def _make_room(self) -> None:
        """Delete whole runs, oldest first, until all files fit and enough of the disk is free."""
        runs: dict[str, list[EventFile]] = {}
        for each in event_files(self._root):
            runs.setdefault(each.run, []).append(each)
        oldest_first = sorted(
            (files for run, files in runs.items() if run != self._run), key=lambda files: files[0].day
        )
        sizes = {each.path: each.path.lstat().st_size for files in runs.values() for each in files}
        total = sum(sizes.values())
        for files in oldest_first:
            if total <= self._all_bytes and shutil.disk_usage(self._root).free >= self._free_bytes:
                return
            for each in files:
                each.path.unlink(missing_ok=True)
                total -= sizes[each.path]
