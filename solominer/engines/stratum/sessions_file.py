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
from solominer.errors import BadValue
from solominer.records.files import read_bounded
from solominer.records.formats import decode_file
from solominer.records.tree import atomic_write

FORMAT = "solominer-stratum-sessions/1"
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
    format: str = FORMAT


class KeptSessions:
    """The newest state of every session that may be resumed: for the next process, and in the file, if it has a `path`.

    `extranonce_first` is where the range of all extranonce1 begins. Problems with the file are logged, and end nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._saved_mono = 0.0
        self._failing = self._loaded = False
        self._sessions: OrderedDict[str, tuple[float, Held]] = OrderedDict()
        self.extranonce_first: int | None = None

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._sessions

    def load(self) -> None:
        """Begin with the sessions in the file that may still be resumed; once."""
        if self._path is None or self._loaded:
            return
        self._loaded, now = True, time.monotonic()
        try:
            file = decode_file(read_bounded(self._path, _MOST_BYTES), _File, FORMAT)
            sessions = [_held(each) for each in file.sessions[:MAX_RESUMABLE]]
        except FileNotFoundError:
            return
        except (OSError, ValueError, BadValue) as error:
            log.warning("sessions of miners are not resumed: %s: %s", self._path, error)
            return
        if abs(time.time() - file.at) < RESUME_SECS:
            self.extranonce_first = file.extranonce_first
            self._sessions.update((held.session_id, (now, held)) for held in sessions)

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
        """Replace the file, unless that was done a moment ago (longer for many sessions); `now`: also then."""
        wait_secs = 0.0 if now else max(SAVE_SECS, len(self._sessions) / _A_SECOND)
        if self._path is None or not self._sessions or time.monotonic() - self._saved_mono < wait_secs:
            return
        self._saved_mono = time.monotonic()
        helds = (held for _, held in self._sessions.values())
        saved = [_Saved(held.session_id, held.extranonce1.hex(), held.difficulty) for held in helds]
        file = _File(time.time(), saved, self.extranonce_first)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._path, msgspec.json.encode(file), mode=_MODE)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("sessions of miners are not kept: %s", error)
            self._failing = True


def _held(saved: _Saved) -> Held:
    """Raises ValueError for what is no session of ours."""
    extranonce1 = bytes.fromhex(saved.extranonce1)
    plain = saved.session_id.isascii() and saved.session_id.isalnum() and len(saved.session_id) <= 64
    if len(extranonce1) != 4 or not plain or not 0 <= saved.difficulty < 1e30:
        raise ValueError("a session in it is not ours")
    # What it was sent in the run before counts by the last difficulty that it had there.
    difficulties = [(0, saved.difficulty)] if saved.difficulty else []
    return Held(saved.session_id, extranonce1, saved.difficulty, difficulties=difficulties)
