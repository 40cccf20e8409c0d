"""Messages of Stratum V2 in encrypted frames (specification 3.2 and 4.6), sans I/O.

A frame is a header of 6 bytes, encrypted by itself to 22, and its payload in pieces of up to 65,519 bytes, each
encrypted to 16 more. The length in the header is that of the plain payload; an empty one has no piece.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from solominer.engines.stratum.v2.noise import TAG_BYTES, Cipher
from solominer.errors import BadValue, DecodeError

CHANNEL_BIT = 0x8000
"""In the extension type: the message is for one channel, whose number its payload begins with."""

EXTENSION = CHANNEL_BIT - 1
"""The other bits: 0 for the mining protocol itself."""

PIECE_BYTES = 65_535 - TAG_BYTES
MOST_BYTES = (1 << 24) - 1

_HEADER = Struct("<HBHB")
_LENGTH_BYTES = 3
_SEALED_HEADER = _HEADER.size + TAG_BYTES
_SEALED_PIECE = PIECE_BYTES + TAG_BYTES

Frame = tuple[int, int, bytes]
"""A message that is not decoded yet: its extension type with the channel bit, its kind, and its payload."""


class Packed(NamedTuple):
    """A message as bytes: what its header begins with (`head_of`), and its payload."""

    head: bytes
    payload: bytes


def head_of(kind: int, *, channel: bool) -> bytes:
    """The header of such messages, but for their length."""
    return _HEADER.pack(CHANNEL_BIT if channel else 0, kind, 0, 0)[:-_LENGTH_BYTES]


def seal(cipher: Cipher, messages: Iterable[Packed]) -> bytes:
    """The frames of these messages; frames must be sent in the order in which they were sealed."""
    parts = []
    for head, payload in messages:
        size = len(payload)
        parts.append(head + size.to_bytes(_LENGTH_BYTES, "little"))
        if 0 < size <= PIECE_BYTES:
            parts.append(payload)
        else:
            parts += [payload[at : at + PIECE_BYTES] for at in range(0, size, PIECE_BYTES)]
    return cipher.encrypt_each(parts)


class FrameReader:
    """Cuts what the other end sends into frames of up to `most_bytes`; after a `problem` nothing more is returned."""

    __slots__ = ("_cipher", "_head", "_most_bytes", "_rest", "problem")

    def __init__(self, cipher: Cipher, most_bytes: int) -> None:
        self._cipher, self._most_bytes = cipher, most_bytes
        self._rest = b""
        self._head: tuple[int, int, int] | None = None  # extension type, kind and encrypted size of what comes next
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
        data, decrypt, head, at = self._rest, self._cipher.decrypt, self._head, 0
        while True:
            if head is None:
                end = at + _SEALED_HEADER
                if len(data) < end:
                    break
                extension, kind, low, high = _HEADER.unpack(decrypt(data[at:end]))
                size = low | high << 16
                if size > self._most_bytes:
                    raise BadValue(f"a message of {size} bytes, where {self._most_bytes} are the most")
                head, at = (extension, kind, size + -(-size // PIECE_BYTES) * TAG_BYTES), end
            extension, kind, size = head
            end = at + size
            if len(data) < end:
                break
            if 0 < size <= _SEALED_PIECE:
                payload = decrypt(data[at:end])
            else:
                starts = range(at, end, _SEALED_PIECE)
                payload = b"".join([decrypt(data[start : min(start + _SEALED_PIECE, end)]) for start in starts])
            frames.append((extension, kind, payload))
            head, at = None, end
        self._head = head
        return at
