"""The dated tree of record files, and atomic writes into it.

    <data_dir>/<network>/
        reports/  errors/  ledger/  submissions/  proofs/  logs/     each YYYY/MM/DD/HH/, UTC
        reports/latest       link to the newest report's folder
        hours.txt            all hourly text reports, for `tail -F`
        index.sqlite         index of the ledger; can be rebuilt at any time
        events/              input of `solominer replay`, see records/events
        state.json, lock     the open hour, and the process that writes it

Nothing changes in the folders of a sealed hour. If the same hour is opened again (after a restart, or a clock set
back), it gets new folders: `07.2`, `07.3` and so on.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from solominer.errors import RecordsError
from solominer.records.files import (
    clear_the_way,
    fsync_folder,
    is_folder,
    optional,
    reason,
    replace,
    sync_file,
    warn_once,
)

HOUR = r"\d{4}/\d\d/\d\d/\d\d(?:\.[1-9]\d*)?"
_BLOCK = r"\d{1,10}-[0-9a-f]{64}"
_OURS = re.compile(
    rf"reports/{HOUR}/(?:report\.json|report\.txt|report\.sig|report\.json\.sha256|SHA256SUMS)"
    rf"|errors/{HOUR}/errors\.json"
    rf"|ledger/{HOUR}/ledger\.jsonl"
    rf"|logs/{HOUR}/solominer\.log"
    rf"|proofs/{HOUR}/(?:best-hashes|best-share|{_BLOCK})\.json"
    rf"|submissions/{HOUR}/{_BLOCK}/(?:block\.hex|facts\.json|submissions\.jsonl|states\.jsonl)"
    r"|reports/\d{4}/\d\d/\d\d/day\.json|reports/latest",
    re.ASCII,
)
_TEMPORARY = re.compile(r"(.*/)\.([^/]+)\.\d+-\d+\.tmp", re.ASCII | re.DOTALL)


def is_ours(path: str) -> bool:
    """Whether solominer writes a file with this path below the network's folder."""
    return _OURS.fullmatch(path) is not None


def is_our_temporary(path: str) -> bool:
    """Whether this is the temporary file of an interrupted `atomic_write`."""
    match = _TEMPORARY.fullmatch(path)
    return match is not None and is_ours(match[1] + match[2])


SECTIONS = ("reports", "errors", "ledger", "submissions", "proofs", "logs")
HOUR_SECS = 3600
DAY_HOURS = 24
TEMPORARY_SUFFIX = ".tmp"

_PART = re.compile(r"(\d{4}/\d\d/\d\d)/([01]\d|2[0-3])(?:\.([1-9]\d*))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 253_402_300_799
_numbers = itertools.count()


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One hour's folders: `start` in Unix seconds (UTC hour); `repeat` is above 1 if the hour was opened again."""

    start: int
    repeat: int = 1

    @classmethod
    def at(cls, at: float) -> Part:
        """The UTC hour of `at` (Unix seconds)."""
        return cls(int(min(max(at, 0), _LAST_SECOND) // HOUR_SECS) * HOUR_SECS)

    @classmethod
    def parse(cls, path: str) -> Part:
        """The part with this `path`. Raises RecordsError if it is not one."""
        match = _PART.fullmatch(path)
        try:
            part = None if match is None else cls(_day_start(match[1]) + int(match[2]) * HOUR_SECS, int(match[3] or 1))
        except ValueError:
            part = None
        if part is None or part.path != path:
            raise RecordsError(f"{path!r:.80} is not the folder of an hour", "expected YYYY/MM/DD/HH")
        return part

    @property
    def path(self) -> str:
        """`YYYY/MM/DD/HH`, with `.2` and so on if the hour was opened again."""
        hours = self.start // HOUR_SECS
        hour = f"{_day_path(hours // DAY_HOURS)}/{hours % DAY_HOURS:02}"
        return hour if self.repeat == 1 else f"{hour}.{self.repeat}"


@dataclass(frozen=True, slots=True)
class Tree:
    """The files below one network's folder."""

    root: Path

    def folder(self, section: str, part: Part) -> Path:
        """The folder of one section and hour, which may not exist."""
        return self.root / section / part.path

    def exists(self, part: Part) -> bool:
        """Whether any section has a folder for this part."""
        return any(os.path.lexists(self.folder(section, part)) for section in SECTIONS)

    def fresh_part(self, at: float) -> Part:
        """The part for `at` that has no folders yet."""
        part = Part.at(at)
        while self.exists(part):
            part = Part(part.start, part.repeat + 1)
        return part

    def parts(self, section: str = "reports") -> list[Part]:
        """All parts that have a folder in `section`, oldest first. Other folders are skipped."""
        found = []
        for path in dated_folders(self.root / section):
            try:
                found.append(Part.parse(path))
            except RecordsError:
                continue  # foreign: the verifier reports it
        return sorted(found)

    def files(self, part: Part) -> list[str]:
        """All files of the part, as sorted paths relative to the root."""
        found: list[str] = []
        for section in SECTIONS:
            found += walk_files(self.root, f"{section}/{part.path}")
        return sorted(found)

    def clear_the_way(self, path: Path) -> None:
        """Rename whatever blocks the file `path`. Raises OSError."""
        clear_the_way(self.root, path)

    def write(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """Write a file atomically, `path` relative to the root; `durable` as in `atomic_write`. Raises OSError."""
        file = self.root / path
        self.clear_the_way(file)
        make_folder(file.parent)
        atomic_write(file, data, durable=durable)

    def point_latest(self, part: Part) -> None:
        """Atomically point the link `reports/latest` at this part, if the file system has links."""
        link = self.root / "reports" / "latest"
        temporary = temporary_beside(link)
        with optional("the link reports/latest"):
            try:
                temporary.symlink_to(part.path, target_is_directory=True)
                replace(temporary, link)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise


def dated_folders(section: Path) -> Iterator[str]:
    """Folders exactly four levels below `section`, as relative paths a/b/c/d."""
    level = [""]
    for depth in range(4):
        deeper = []
        for prefix in level:
            try:
                with os.scandir(section / prefix) as entries:
                    deeper += [f"{prefix}{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]
            except FileNotFoundError:
                continue
            except OSError as error:
                _cannot_read(section / prefix, error)
        level = [f"{path}/" for path in deeper] if depth < 3 else deeper
    return iter(level)


def walk_files(root: Path, below: str) -> Iterator[str]:
    """Files at any depth under `root/below`, as paths relative to `root`; links to folders count as files."""
    waiting = [below]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(path)
                    else:
                        yield path
        except FileNotFoundError:
            continue
        except OSError as error:
            _cannot_read(root / folder, error)


def _cannot_read(folder: Path, error: OSError) -> None:
    warn_once(f"read {folder}", f"skipping a folder of the records that cannot be read: {reason(error)}")


def temporary_beside(path: Path) -> Path:
    """A unique temporary file name in the same folder."""
    return path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}{TEMPORARY_SUFFIX}")


def make_folder(folder: Path, *, durable: bool = False) -> None:
    """Create `folder` and its parents; with `durable`, fsync each parent. Raises OSError."""
    if is_folder(folder):
        return
    if not durable:
        folder.mkdir(parents=True, exist_ok=True)
        return
    make_folder(folder.parent, durable=True)
    folder.mkdir(exist_ok=True)
    fsync_folder(folder.parent)


def write_all(handle: int, data: bytes) -> None:
    """os.write until all of `data` is written. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def atomic_write(path: Path, data: bytes, *, durable: bool = False, mode: int = 0o644) -> None:
    """Write a temporary file and rename it; with `durable`, fsync file and folder. Raises OSError."""
    temporary = temporary_beside(path)
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        try:
            write_all(handle, data)
            if durable:
                sync_file(handle)
        finally:
            os.close(handle)
        replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_folder(path.parent)


def remove_temporaries(root: Path, below: str) -> int:
    """Delete left-over temporary files under `root/below`; returns their number."""
    leftovers = [path for path in walk_files(root, below) if is_our_temporary(path)]
    with optional("removing temporary files"):
        for path in leftovers:
            (root / path).unlink(missing_ok=True)
    return len(leftovers)


def utc_text(at: float) -> str:
    """`2026-11-21T07:50:12Z`."""
    return _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _utc(at: float) -> datetime:
    """By arithmetic, since the C library's gmtime counts leap seconds in some zones (TZ=right/...)."""
    return _EPOCH + timedelta(seconds=min(max(at, 0), _LAST_SECOND))


@lru_cache(maxsize=4096)
def _day_path(days: int) -> str:
    """`YYYY/MM/DD` of a day since the epoch; a tree has many hours of each."""
    return _utc(days * DAY_HOURS * HOUR_SECS).strftime("%Y/%m/%d")


@lru_cache(maxsize=4096)
def _day_start(path: str) -> int:
    """The inverse of `_day_path`, in Unix seconds. Raises ValueError."""
    year, month, day = map(int, path.split("/"))
    return int((datetime(year, month, day, tzinfo=UTC) - _EPOCH).total_seconds())
