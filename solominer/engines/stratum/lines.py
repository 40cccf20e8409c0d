"""Bytes of one connection into lines.

A line ends with \\n or \\r\\n; many may come in one packet, and one in many packets. Lines are bounded. What is not
Stratum at all, an HTTP request or a TLS hello, is recognized by its first bytes so that it can be answered helpfully.

So is Stratum V2, whose handshake begins with 64 bytes that look random: any first byte of V1 may be one of V2's; but 64
random bytes that are text all the same are as likely as 64 coins that show heads.
"""

from __future__ import annotations

import codecs
from enum import Enum, auto

MAX_LINE_BYTES = 16 * 1024
DECIDING_BYTES = 64
_WHITE_SPACE = "\t\r\n"

_HTTP_METHODS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH ", b"PRI * HTTP")
_LONGEST_METHOD = max(map(len, _HTTP_METHODS))
_TLS_HANDSHAKE = b"\x16\x03"


class Spoken(Enum):
    """A protocol on a Stratum port. What is neither is V1's, which knows what to say to it."""

    V1 = auto()
    V2 = auto()


def spoken_in(first: bytes) -> Spoken | None:
    """The protocol of a client that has sent these bytes; None while that is open, until DECIDING_BYTES are there."""
    head = first[:DECIDING_BYTES]
    if head.startswith(_TLS_HANDSHAKE):  # a TLS hello, or a key with odds of 2**-16
        if len(head) < 10:
            return None
        return Spoken.V1 if head[5] == 1 and head[9] == 3 else Spoken.V2
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return Spoken.V2
    if any(char < " " and char not in _WHITE_SPACE for char in text):
        return Spoken.V2
    if len(head) == DECIDING_BYTES or head.startswith(_HTTP_METHODS) or _is_request(head):
        return Spoken.V1
    return None


def _is_request(head: bytes) -> bool:
    """Whether a whole line of JSON is there."""
    line, end, _ = head.strip().partition(b"\n")
    return (bool(end) or head.endswith(b"\n")) and line[:1] == b"{" and line.rstrip()[-1:] == b"}"


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
        elif data.startswith(_HTTP_METHODS):
            self.problem = Problem.HTTP
        elif len(data) < _LONGEST_METHOD and any(sign.startswith(data) for sign in (*_HTTP_METHODS, _TLS_HANDSHAKE)):
            self.part = data
            return False
        else:
            self._at_start = False
            return True
        self.part = b""
        return False
