"""Sessions of miners over a restart of the daemon: a small file in the data folder.

With it a miner that reconnects within ten minutes keeps its session id and its difficulty. It holds no evidence: if it
is lost, torn or not ours, miners begin anew.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

import msgspec

from solominer.engines.stratum.extranonces import MAX_RESUMABLE, RESUME_SECS, Held
from solominer.records.files import read_bounded
from solominer.records.tree import atomic_write

SAVE_SECS = 5.0
_A_SECOND = 200
_MODE = 0o600  # who knows the id of a session can take it over
_MOST_BYTES = 64 << 20

log = logging.getLogger(__name__)


class _Saved(msgspec.Struct, frozen=True):
    """One session: its id, extranonce1 in hex, and the difficulty that it worked at."""

    session_id: str
    extranonce1: str
    difficulty: float


class _File(msgspec.Struct, frozen=True):
    """`at` is Unix seconds of the last save, `extranonce_first` where the range of all extranonce1 begins."""

    at: float
    sessions: list[_Saved]
    extranonce_first: int | None = None
    format: str = "solominer-stratum-sessions/1"


class SessionsFile:
    """Reads and writes `path`; all problems with it are logged, and end nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved_mono = 0.0
        self._failing = False

    def load(self) -> tuple[list[Held], int | None]:
        """The sessions that may still be resumed, and where their range of extranonce1 begins."""
        try:
            file = msgspec.json.decode(read_bounded(self._path, _MOST_BYTES), type=_File)
            sessions = [_held(each) for each in file.sessions[:MAX_RESUMABLE]]
        except FileNotFoundError:
            return [], None
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            log.warning("sessions of miners are not resumed: %s: %s", self._path, error)
            return [], None
        return (sessions, file.extranonce_first) if abs(time.time() - file.at) < RESUME_SECS else ([], None)

    def save(self, sessions: Collection[Held], extranonce_first: int | None, *, now: bool = False) -> None:
        """Replace the file, unless that was done a moment ago (longer for many sessions); `now`: also then."""
        if not now and time.monotonic() - self._saved_mono < max(SAVE_SECS, len(sessions) / _A_SECOND):
            return
        self._saved_mono = time.monotonic()
        saved = [_Saved(held.session_id, held.extranonce1.hex(), held.difficulty) for held in sessions]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._path, msgspec.json.encode(_File(time.time(), saved, extranonce_first)), mode=_MODE)
        except OSError as error:
            if not self._failing:
                log.warning("sessions of miners are not kept: %s", error)
            self._failing = True
        else:
            self._failing = False


class KeptSessions:
    """The newest state of every session that may be resumed: for the next process, and in the file."""

    def __init__(self, file: SessionsFile | None) -> None:
        self._file = file
        self._sessions: OrderedDict[str, tuple[float, Held]] = OrderedDict()
        self._loaded = file is None
        self.extranonce_first: int | None = None

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._sessions

    def load(self) -> None:
        """Begin with what is in the file; once."""
        if self._file is not None and not self._loaded:
            now, (sessions, self.extranonce_first) = time.monotonic(), self._file.load()
            self._sessions.update((held.session_id, (now, held)) for held in sessions)
            self._loaded = True

    def resumable(self) -> list[Held]:
        """Those of the last RESUME_SECS."""
        now = time.monotonic()
        return [held for at, held in self._sessions.values() if now - at < RESUME_SECS]

    def keep(self, sessions: Collection[Held]) -> list[Held]:
        """Sessions that are new or have changed; of these, those with another extranonce1 or difficulty."""
        now, moved = time.monotonic(), []
        for held in sessions:
            _, known = self._sessions.get(held.session_id, (now, None))
            if known is None or (known.extranonce1, known.difficulty) != (held.extranonce1, held.difficulty):
                moved.append(held)
            self._sessions[held.session_id] = (now, held)
            self._sessions.move_to_end(held.session_id)
        while self._sessions:
            at, _ = next(iter(self._sessions.values()))
            if now - at < RESUME_SECS and len(self._sessions) <= MAX_RESUMABLE:
                break
            self._sessions.popitem(last=False)
        self.save()
        return moved

    def save(self, *, now: bool = False) -> None:
        """Write the file, unless that was done a moment ago; `now`: also then."""
        if self._file is not None and self._sessions:
            self._file.save([held for _, held in self._sessions.values()], self.extranonce_first, now=now)


def _held(saved: _Saved) -> Held:
    """Raises ValueError for what is no session of ours."""
    extranonce1 = bytes.fromhex(saved.extranonce1)
    plain = saved.session_id.isascii() and saved.session_id.isalnum() and len(saved.session_id) <= 64
    if len(extranonce1) != 4 or not plain or not 0 <= saved.difficulty < 1e30:
        raise ValueError("a session in it is not ours")
    # What it was sent in the run before counts by the last difficulty that it had there.
    difficulties = [(0, saved.difficulty)] if saved.difficulty else []
    return Held(saved.session_id, extranonce1, saved.difficulty, difficulties=difficulties)
