"""Bytes of one connection into lines.

A line ends with \\n or \\r\\n; many may come in one packet, and one in many packets. Lines are bounded. What is not
Stratum at all, an HTTP request or a TLS hello, is recognized by its first bytes so that it can be answered helpfully.
"""

from __future__ import annotations

from enum import Enum, auto

MAX_LINE_BYTES = 16 * 1024

_HTTP_METHODS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH ", b"PRI * HTTP")
_LONGEST_METHOD = max(map(len, _HTTP_METHODS))
_TLS_HANDSHAKE = b"\x16\x03"


def begins_http(data: bytes) -> bool:
    """Whether these are the first bytes of an HTTP request."""
    return data.startswith(_HTTP_METHODS)


class Problem(Enum):
    """Why a connection's bytes cannot be read any further."""

    LINE_TOO_LONG = auto()
    HTTP = auto()
    TLS = auto()


class LineReader:
    """Cuts what a connection sends into lines; after a `problem` nothing more is returned.

    `part` is what was read of a line that is not complete.
    """

    __slots__ = ("_at_start", "part", "problem")

    def __init__(self) -> None:
        self.part = b""
        self._at_start = True
        self.problem: Problem | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their \\n (a \\r may remain: it is white space in JSON)."""
        if self.problem is not None:
            return []
        if self.part:
            data = self.part + data
        if self._at_start and not self._looks_like_stratum(data):
            return []
        lines = data.split(b"\n")
        self.part = lines.pop()
        if len(self.part) > MAX_LINE_BYTES:
            self.problem = Problem.LINE_TOO_LONG
        if len(data) > MAX_LINE_BYTES:
            lines = self._up_to_too_long(lines)
        return lines

    def unread(self) -> bytes:
        """What was read of a line that is not complete; it is to be fed again. Empty before the first line."""
        rest = b"" if self._at_start or self.problem is not None else self.part
        if rest:
            self.part = b""
        return rest

    def _up_to_too_long(self, lines: list[bytes]) -> list[bytes]:
        for index, line in enumerate(lines):
            if len(line) > MAX_LINE_BYTES:
                self.problem = Problem.LINE_TOO_LONG
                return lines[:index]
        return lines

    def _looks_like_stratum(self, data: bytes) -> bool:
        """Whether to go on reading; False also while the first bytes still leave it open."""
        if data.startswith(_TLS_HANDSHAKE):
            self.problem = Problem.TLS
        elif begins_http(data):
            self.problem = Problem.HTTP
        elif len(data) < _LONGEST_METHOD and any(sign.startswith(data) for sign in (*_HTTP_METHODS, _TLS_HANDSHAKE)):
            self.part = data
            return False
        else:
            self._at_start = False
            return True
        self.part = b""
        return False
