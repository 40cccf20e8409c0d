"""Messages from a worker to the main process, over a pipe: fixed size, each written atomically.

Pipe writes of at most PIPE_BUF bytes (512 or more, POSIX) are atomic, so a message arrives whole or not at all, even
from a worker that is killed. `Outbox` is the worker's end; it limits the rate of droppable messages.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

MESSAGE_SIZE = 192
_READY, _REPORT, _SHARE, _BLOCK, _WRONG = range(5)
_KIND = struct.Struct("<B")
_HIT = struct.Struct("<QB12sIIIQ")
_TEXT_SIZE = MESSAGE_SIZE - _KIND.size


class Ready(NamedTuple):
    """The worker has loaded this kernel and begins to hash."""

    kernel: str


class Report(NamedTuple):
    """A progress message for the log."""

    text: str


class Hit(NamedTuple):
    """A header that the kernel reported; `extranonce` is both halves, `position` as in `Walk.position`."""

    job_id: int
    extranonce: bytes
    version: int
    ntime: int
    nonce: int
    position: int


class Share(NamedTuple):
    """A hit that meets the share target, confirmed by hashlib; `is_block`: it meets the network target as well."""

    hit: Hit
    is_block: bool = False


class Wrong(NamedTuple):
    """A hit that hashlib does not confirm."""

    hit: Hit


Message = Ready | Report | Share | Wrong


def pack(message: Message) -> bytes:
    """A message as MESSAGE_SIZE bytes; long text is truncated."""
    match message:
        case Ready(text):
            body = _KIND.pack(_READY) + text.encode()[:_TEXT_SIZE]
        case Report(text):
            body = _KIND.pack(_REPORT) + text.encode()[:_TEXT_SIZE]
        case Share(hit, is_block):
            body = _KIND.pack(_BLOCK if is_block else _SHARE) + _pack_hit(hit)
        case Wrong(hit):
            body = _KIND.pack(_WRONG) + _pack_hit(hit)
    return body.ljust(MESSAGE_SIZE, b"\0")


def _pack_hit(hit: Hit) -> bytes:
    job_id, extranonce, *rest = hit
    return _HIT.pack(job_id, len(extranonce), extranonce, *rest)


def _unpack(data: bytes) -> Message:
    (kind,) = _KIND.unpack_from(data)
    if kind == _READY:
        return Ready(data[_KIND.size :].rstrip(b"\0").decode(errors="replace"))
    if kind == _REPORT:
        return Report(data[_KIND.size :].rstrip(b"\0").decode(errors="replace"))
    job_id, size, extranonce, *rest = _HIT.unpack_from(data, _KIND.size)
    hit = Hit(job_id, extranonce[:size], *rest)
    return Wrong(hit) if kind == _WRONG else Share(hit, kind == _BLOCK)


def take(buffer: bytearray) -> Iterator[Message]:
    """Remove and yield the complete messages at the front of `buffer`."""
    while len(buffer) >= MESSAGE_SIZE:
        data = bytes(buffer[:MESSAGE_SIZE])
        del buffer[:MESSAGE_SIZE]
        yield _unpack(data)


OFFERS_PER_SEC = 100
"""The most shares that a worker reports per second, so that an easy target does not overload the main process."""


class Outbox:
    """Sends messages over the non-blocking pipe `fd`. Raises BrokenPipeError if the main process is gone."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        self._allowance = float(OFFERS_PER_SEC)
        self._seen_secs = time.monotonic()

    def send(self, message: Message) -> None:
        """Send a message that must arrive; blocks while the pipe is full."""
        data = pack(message)
        while not self._write(data):
            self._room.poll()

    def offer(self, message: Message) -> bool:
        """Send unless the limit is reached or the pipe is full; returns whether it was sent."""
        now = time.monotonic()
        self._allowance = min(OFFERS_PER_SEC, self._allowance + (now - self._seen_secs) * OFFERS_PER_SEC)
        self._seen_secs = now
        if self._allowance < 1 or not self._write(pack(message)):
            return False
        self._allowance -= 1
        return True

    def _write(self, data: bytes) -> bool:
        try:
            os.write(self._fd, data)  # at most PIPE_BUF bytes: all or nothing
        except BlockingIOError:
            return False
        return True
