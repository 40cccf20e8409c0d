"""The audit trail of control calls: a line of the ledger says who asked for what, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from solominer.chain.fields import Field
from solominer.errors import SolominerError, printable
from solominer.work.instant import Clock

MAX_BY = 200
"""Maximum characters of the caller's name."""

MAX_RESULT = 1000
UNNAMED = "a client of the control socket"

Note = Callable[[float, str, Mapping[str, Any]], None]
"""Takes a line for the ledger: Unix seconds, kind, fields."""


class Audit:
    """Writes a line of kind `control` for each call: `what`, `by`, `ok` and `result`."""

    def __init__(self, note: Note, clock: Clock) -> None:
        self._note, self._clock = note, clock

    @contextmanager
    def request(self, request: Field) -> Iterator[list[str]]:
        """As `recorded`, for a request of the control socket. Raises BadValue first for a bad `by`."""
        by = request.get("by")
        with self.recorded(request["do"].text(), UNNAMED if by is None else by.text(MAX_BY)) as done:
            yield done

    @contextmanager
    def recorded(self, what: str, by: str) -> Iterator[list[str]]:
        """Record the call when it ends, with the lines that were added to the list, or with its error."""
        done: list[str] = []
        try:
            yield done
        except SolominerError as error:
            self._record(what, by, False, error.what)
            raise
        self._record(what, by, True, "; ".join(done))

    def _record(self, what: str, by: str, ok: bool, result: str) -> None:
        fields = {"what": what, "by": printable(by, MAX_BY), "ok": ok, "result": printable(result, MAX_RESULT)}
        self._note(self._clock().wall, "control", fields)
