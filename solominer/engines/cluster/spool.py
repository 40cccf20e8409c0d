"""A node's shares until the server has them: in memory, and in a file, so that they outlive the node's process.

A record is its length and CRC-32, 4 bytes each, little-endian, and a packed ShareMessage. A share that is a block, or
whose answer a miner awaits, is synced to the disk. The file is emptied when the server has all of them; records of
another version stay for that.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from solominer.engines.cluster.messages import ShareMessage
from solominer.errors import DecodeError
from solominer.records.files import read_bounded, reason
from solominer.records.tree import atomic_write, write_all

MOST_SHARES = 50_000
"""Beyond this the oldest ones that are no blocks are dropped."""
MOST_BYTES = 32 << 20
"""A file beyond this is written anew without what the server has."""
_HEAD_BYTES = 8
_MODE = 0o600

log = logging.getLogger(__name__)


class Spool:
    """Shares by their ids, the oldest first. If the disk fails, that is logged, and they are in memory alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: OrderedDict[str, ShareMessage] = OrderedDict()
        self._handle: int | None = None
        self._size = 0
        self._foreign = bytearray()
        self.is_failing = False
        """Whether shares are in memory alone."""
        self.dropped = 0
        """How many shares were dropped."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._waiting

    @property
    def waiting(self) -> list[ShareMessage]:
        """Those that the server does not have yet."""
        return list(self._waiting.values())

    def load(self) -> None:
        """Begin with what an earlier process left; the last record may be torn."""
        try:
            data = read_bounded(self._path, 2 * MOST_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("shares of the last run are not sent again: %s", reason(error))
            return
        at = 0
        while len(data) - at >= _HEAD_BYTES:
            size, check = (int.from_bytes(data[at + i : at + i + 4], "little") for i in (0, 4))
            body = data[at + _HEAD_BYTES : at + _HEAD_BYTES + size]
            if len(body) < size or crc32(body) != check:
                break
            at += _HEAD_BYTES + size
            try:
                share = ShareMessage.unpack(body)
            except DecodeError as error:
                if not self._foreign:
                    log.warning("shares of an earlier run stay in %s, unsent: %s", self._path, error.what)
                self._foreign += _record(body)
                continue
            self._waiting[share.message_id] = share
        if self._waiting:
            log.info("%d shares of the last run are sent again", len(self._waiting))
        if data:
            self._rewrite()

    def add(self, share: ShareMessage) -> int | None:
        """Keep a share. If it is to be synced, the descriptor of the file; None: it was, or is in memory alone."""
        self._waiting[share.message_id] = share
        while len(self._waiting) > MOST_SHARES:
            oldest = next((key for key, each in self._waiting.items() if not each.is_block), None)
            if oldest is None:
                break
            del self._waiting[oldest]
            self.dropped += 1
        is_long = self._size - len(self._foreign) > MOST_BYTES
        if is_long or self.is_failing:  # a record may be torn, and others are not in the file
            self._rewrite()
        else:
            self._write(_record(share.pack()))
        is_to_sync = share.is_block or share.is_awaited
        return self._handle if is_to_sync and not self.is_failing else None

    def done(self, message_id: str) -> None:
        """The server has it."""
        if self._waiting.pop(message_id, None) is not None and not self._waiting and self._size > len(self._foreign):
            self._rewrite()

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _write(self, data: bytes) -> None:
        with self._disk():
            if self._handle is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
                self._handle = os.open(self._path, flags, _MODE)
            write_all(self._handle, data)
            self._size += len(data)

    def _rewrite(self) -> None:
        """Leave in the file what is waiting."""
        data = bytes(self._foreign) + b"".join(_record(share.pack()) for share in self._waiting.values())
        with self._disk():
            if data:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(self._path, data, durable=True, mode=_MODE)
                self.close()
            else:
                os.truncate(self._path, 0)
            self._size = len(data)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self.is_failing:
                log.error("shares are kept in memory alone: %s -> free some space on the disk", reason(error))
            self.is_failing = True
        else:
            self.is_failing = False


def _record(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + crc32(body).to_bytes(4, "little") + body
