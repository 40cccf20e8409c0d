"""Extranonce1 of each connection, and sessions that may be resumed with it within ten minutes.

Every process of the server deals values of its own range, so no two have one in common. A session of another process,
or of an earlier run, is resumed with its id and difficulty, and another extranonce1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from solominer.errors import EngineError
from solominer.work.workers import ExtranonceRange

RESUME_SECS = 600.0
MAX_RESUMABLE = 50_000


@dataclass(slots=True)
class Held:
    """What a connection leaves behind: its extranonce1, the difficulty it worked at, and those of its kept jobs.

    `difficulties` are (first job number, difficulty), oldest first; `last_seq` is the number of its last job, so that a
    resumed session is never sent that job again. `gone_at` is when it was closed, None while open.
    """

    session_id: str
    extranonce1: bytes
    difficulty: float = 0.0
    last_seq: int = -1
    difficulties: list[tuple[int, float]] = field(default_factory=list)
    gone_at: float | None = None


class ExtranonceTable:
    """Deals extranonce1 values of a range, none twice at a time; keeps those of closed connections for a while.

    `token` returns a fresh session id that nobody can guess.
    """

    def __init__(self, space: ExtranonceRange, token: Callable[[], str]) -> None:
        self._space = space
        self._next = 0
        self._token = token
        self._held: dict[str, Held] = {}
        self._used: set[bytes] = set()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._elsewhere: OrderedDict[str, Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def open(self, wanted_id: str, now: float) -> tuple[Held, bool]:
        """The session of a subscribing connection, and whether it is a resumed one.

        A session that is still open here is taken over: its client has lost the old connection and knows it first; the
        server closes that one. Raises EngineError if no extranonce1 is free.
        """
        self._expire(now)
        held = self._held.get(wanted_id)
        if held is not None:
            held.gone_at = None
            self._gone.pop(wanted_id, None)
            return held, True
        before = self._elsewhere.get(wanted_id)
        held = Held(before.session_id, self._free(), before.difficulty) if before else Held(self._token(), self._free())
        self._held[held.session_id] = held
        self._used.add(held.extranonce1)
        return held, before is not None

    def elsewhere(self, session_id: str) -> bytes | None:
        """The extranonce1 that this session had in another process; None if it had none."""
        before = self._elsewhere.get(session_id)
        return before.extranonce1 if before else None

    def close(self, held: Held, now: float) -> None:
        """The connection is gone; its session may be resumed for a while."""
        held.gone_at = now
        self._gone[held.session_id] = None
        while len(self._gone) > MAX_RESUMABLE:
            self._drop(next(iter(self._gone)))

    def release(self, held: Held) -> None:
        """The connection is gone, and nobody can resume its session."""
        self._drop(held.session_id)

    def restore(self, sessions: list[Held], now: float) -> None:
        """Sessions that this process, an earlier one or another one had; its own may be resumed as if closed now."""
        for held in sessions[:MAX_RESUMABLE]:
            if held.extranonce1 not in self._space or held.extranonce1 in self._used:
                self._elsewhere[held.session_id] = held
                self._elsewhere.move_to_end(held.session_id)
            elif held.session_id not in self._held:
                self._held[held.session_id] = held
                self._used.add(held.extranonce1)
                self.close(held, now)
        while len(self._elsewhere) > MAX_RESUMABLE:
            self._elsewhere.popitem(last=False)

    def _free(self) -> bytes:
        if len(self._used) >= self._space.count:
            raise EngineError("no extranonce1 is free for another miner", "limit connections")
        while True:
            value = self._space.nth(self._next)
            self._next = (self._next + 1) % self._space.count
            if value not in self._used:
                return value

    def _expire(self, now: float) -> None:
        while self._gone:
            oldest = next(iter(self._gone))
            gone_at = self._held[oldest].gone_at
            if gone_at is not None and now - gone_at < RESUME_SECS:
                return
            self._drop(oldest)

    def _drop(self, session_id: str) -> None:
        self._gone.pop(session_id, None)
        self._used.discard(self._held.pop(session_id).extranonce1)
