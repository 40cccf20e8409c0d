"""Messages of Stratum V2 in encrypted frames (specification 3.2 and 4.6), sans I/O.

A frame is a header of 6 bytes, encrypted by itself to 22, and its payload in pieces of up to 65,519 bytes, each
encrypted to 16 more. The length in the header is that of the plain payload; an empty one has no piece.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from solominer.engines.stratum.v2.noise import TAG_BYTES, Cipher
from solominer.errors import BadValue, DecodeError

CHANNEL_BIT = 0x8000
"""In the extension type: the message is for one channel, whose number its payload begins with."""

PIECE_BYTES = 65_535 - TAG_BYTES
MOST_BYTES = (1 << 24) - 1

_HEADER = Struct("<HBHB")
_SEALED_HEADER = _HEADER.size + TAG_BYTES
_SEALED_PIECE = PIECE_BYTES + TAG_BYTES


class Frame(NamedTuple):
    """A message that is not decoded yet; `extension` with its channel bit."""

    extension: int
    kind: int
    payload: bytes


def seal(cipher: Cipher, kind: int, payload: bytes, *, channel: bool) -> bytes:
    """The frame of a message; frames must be sent in the order in which they were sealed."""
    size = len(payload)
    header = _HEADER.pack(CHANNEL_BIT if channel else 0, kind, size & 0xFFFF, size >> 16)
    if 0 < size <= PIECE_BYTES:
        return cipher.encrypt_both(header, payload)
    pieces = (payload[at : at + PIECE_BYTES] for at in range(0, size, PIECE_BYTES))
    return cipher.encrypt(header) + b"".join(map(cipher.encrypt, pieces))


class FrameReader:
    """Cuts what the other end sends into frames of up to `most_bytes`; after a `problem` nothing more is returned."""

    __slots__ = ("_cipher", "_head", "_most_bytes", "_rest", "_wanted", "problem")

    def __init__(self, cipher: Cipher, most_bytes: int) -> None:
        self._cipher, self._most_bytes = cipher, most_bytes
        self._rest = b""
        self._head = (0, 0)
        self._wanted = -1
        self.problem: DecodeError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        frames: list[Frame] = []
        if self.problem is None:
            self._rest += data
            try:
                self._rest = self._rest[self._cut(frames) :]
            except DecodeError as error:
                self.problem, self._rest = error, b""
        return frames

    def _cut(self, frames: list[Frame]) -> int:
        """Add whole frames; where the first byte is that was not used."""
        data, decrypt, at = self._rest, self._cipher.decrypt, 0
        while True:
            if self._wanted < 0:
                if len(data) < at + _SEALED_HEADER:
                    return at
                extension, kind, low, high = _HEADER.unpack(decrypt(data[at : at + _SEALED_HEADER]))
                size = low | high << 16
                if size > self._most_bytes:
                    raise BadValue(f"a message of {size} bytes, where {self._most_bytes} are the most")
                at += _SEALED_HEADER
                self._head, self._wanted = (extension, kind), size + -(-size // PIECE_BYTES) * TAG_BYTES
            end = at + self._wanted
            if len(data) < end:
                return at
            if 0 < self._wanted <= _SEALED_PIECE:
                payload = decrypt(data[at:end])
            else:
                starts = range(at, end, _SEALED_PIECE)
                payload = b"".join([decrypt(data[start : min(start + _SEALED_PIECE, end)]) for start in starts])
            frames.append(Frame(*self._head, payload))
            at, self._wanted = end, -1
