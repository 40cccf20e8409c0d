"""Which protocol a client speaks, by the first bytes that it sends.

Stratum V1 is text. A V2 handshake begins with 64 bytes that look random, so any first byte of V1 may be one of V2's;
but 64 random bytes that are text all the same are as likely as 64 coins that show heads.
"""

from __future__ import annotations

import codecs
from enum import Enum, auto

from solominer.engines.stratum.lines import begins_http

DECIDING_BYTES = 64
_WHITE_SPACE = "\t\r\n"


class Spoken(Enum):
    """A protocol on a Stratum port. What is neither is V1's, which knows what to say to it."""

    V1 = auto()
    V2 = auto()


def spoken_in(first: bytes) -> Spoken | None:
    """The protocol of a client that has sent these bytes; None while that is open, until DECIDING_BYTES are there."""
    head = first[:DECIDING_BYTES]
    if head[:2] == b"\x16\x03":  # a TLS hello, or a key with odds of 2**-16
        if len(head) < 10:
            return None
        return Spoken.V1 if head[5] == 1 and head[9] == 3 else Spoken.V2
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return Spoken.V2
    if any(char < " " and char not in _WHITE_SPACE for char in text):
        return Spoken.V2
    if len(head) == DECIDING_BYTES or begins_http(head) or _is_request(head):
        return Spoken.V1
    return None


def _is_request(head: bytes) -> bool:
    """Whether a whole line of JSON is there."""
    line, end, _ = head.strip().partition(b"\n")
    return (bool(end) or head.endswith(b"\n")) and line[:1] == b"{" and line.rstrip()[-1:] == b"}"
