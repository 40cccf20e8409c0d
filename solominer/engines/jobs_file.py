"""The jobs of the current tip over a restart of the daemon: a file in the data folder for each engine that needs it.

With it a solution that is found while the daemon is away, or handed in when it is back, is still a block. A job is
appended as it is published, each transaction once, and what it has in common with the job before as ranges; another tip
begins the file anew. It is not synced: it outlives the daemon, not a power cut. If it is lost or not ours, nothing is
restored.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress, count, repeat
from operator import is_, is_not
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from zlib import crc32

import msgspec

from solominer.errors import SolominerError
from solominer.records.events.codec import Decoder, Encoder
from solominer.records.files import read_bounded
from solominer.records.tree import atomic_write, write_all
from solominer.work.policy import KEEP_SECS
from solominer.work.template import Template, TemplateTx

MOST_BYTES = 16 << 20
"""A file beyond this is begun anew; a full template takes 2 MB, what changes in it 100 kB at each refresh."""
MOST_RESTORED = 16

_MAGIC = b"solominer-jobs/2\n"
_MAGIC_WITHOUT_RANGES = b"solominer-jobs/1\n"
_MOST_IN_RANGE, _AHEAD = 128, 64
"""Transactions in a range; how far ahead one is looked for in the job before, of which others have left."""
_MODE = 0o600
_HEAD_BYTES = 8
_MOST_READ = 4 * MOST_BYTES
_BAD = (OSError, LookupError, TypeError, ValueError, msgspec.MsgspecError, SolominerError)

log = logging.getLogger(__name__)


Own = TypeVar("Own")
"""What an engine keeps of a job beside its template; msgspec can encode it."""


class SavedJob(NamedTuple, Generic[Own]):
    """A job that was handed out at `at` (Unix seconds): what its engine keeps of it, and its template."""

    at: float
    own: Own
    template: Template


class Written(NamedTuple):
    """What was written to the file; with `anew` it is all of it."""

    data: bytes
    anew: bool = False


class _Tx(NamedTuple):
    """A TemplateTx with its bytes, and without the places of those that it spends."""

    data: bytes
    txid_le: bytes
    wtxid_le: bytes
    fee_sats: int
    sigops: int
    weight: int


class _Record(msgspec.Struct, frozen=True):
    """A SavedJob; `own` is MessagePack. `template` is JSON, without transactions; these are `places`: one among all
    `new` ones of the file, or the start and the length of a range of the transactions of the record before."""

    at: float
    own: bytes
    template: bytes
    new: list[_Tx]
    places: list[int | tuple[int, int]]


class JobsFile(Generic[Own]):
    """Reads and writes `path`. A record is its length and CRC-32, 4 bytes each, little-endian, and MessagePack.

    `kind` is the type of what the engine keeps.
    """

    def __init__(self, path: Path, kind: type[Own]) -> None:
        self._path, self._kind = path, kind
        self._failing = False
        self._forget()

    def _forget(self) -> None:
        self._known: dict[bytes, int] = {}
        self._before: Sequence[TemplateTx] = ()
        self._tip_le = b""
        self._size = 0

    def load(self) -> list[SavedJob[Own]]:
        """The newest jobs, oldest first, for which shares may still arrive; the last may be torn."""
        try:
            saved = self._read(read_bounded(self._path, _MOST_READ))
        except FileNotFoundError:
            return []
        except _BAD as error:
            log.warning("jobs of the previous run are not restored: %s: %s", self._path, error)
            self._forget()
            return []
        return [each for each in saved[-MOST_RESTORED:] if abs(time.time() - each.at) < KEEP_SECS]

    def _read(self, data: bytes) -> list[SavedJob[Own]]:
        if not data.startswith((_MAGIC, _MAGIC_WITHOUT_RANGES)):
            raise ValueError("not a file of jobs of this version")
        saved: list[SavedJob[Own]] = []
        known: list[TemplateTx] = []
        transactions: tuple[TemplateTx, ...] = ()
        end = len(_MAGIC)
        while body := _body_at(data, end):
            record = msgspec.msgpack.decode(body, type=_Record)
            known += [TemplateTx(tx.data.hex(), *tx[1:], ()) for tx in record.new]
            template: Template = Decoder().decode(Template, json.loads(record.template))
            transactions = _transactions(record, known, transactions)
            template = replace(template, transactions=transactions)
            saved.append(SavedJob(record.at, msgspec.msgpack.decode(record.own, type=self._kind), template))
            end += _HEAD_BYTES + len(body)
        self._known = {tx.wtxid_le: place for place, tx in enumerate(known)}
        self._tip_le = saved[-1].template.prevhash_le if saved and data.startswith(_MAGIC) else b""
        self._size = end
        return saved

    def add(self, saved: SavedJob[Own]) -> Written:
        """Append it, or begin anew with it; nothing is written if that fails. Errors are logged."""
        try:
            same = saved.template.prevhash_le == self._tip_le and self._size <= MOST_BYTES
            written = (same and self._append(saved)) or self._begin(saved)
        except (OSError, SolominerError) as error:  # or a template whose raw transactions cannot be read
            if not self._failing:
                log.warning("jobs are not kept over a restart: %s", error)
            self._failing = True
            self._forget()
            return Written(b"")
        self._failing = False
        return written

    def _begin(self, saved: SavedJob[Own]) -> Written:
        self._forget()
        data, new = self._record(saved)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self._path, _MAGIC + data, mode=_MODE)
        self._known, self._tip_le, self._size = new, saved.template.prevhash_le, len(_MAGIC) + len(data)
        self._before = saved.template.transactions
        return Written(_MAGIC + data, anew=True)

    def _append(self, saved: SavedJob[Own]) -> Written | None:
        """None if the file is not there as it was left."""
        data, new = self._record(saved)
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            size = os.fstat(handle).st_size
            if size < self._size:
                return None
            if size > self._size:  # a torn end
                os.ftruncate(handle, self._size)
            write_all(handle, data)
        finally:
            os.close(handle)
        self._known |= new
        self._before = saved.template.transactions
        self._size += len(data)
        return Written(data)

    def _record(self, saved: SavedJob[Own]) -> tuple[bytes, dict[bytes, int]]:
        """The bytes, and the places of transactions that the file does not have yet."""
        new: dict[bytes, int] = {}
        added: list[_Tx] = []
        places: list[int | tuple[int, int]] = []
        transactions, before = saved.template.transactions[:], self._before[:]
        at = done = 0
        while done < len(transactions):
            ours, theirs = transactions[done : done + _MOST_IN_RANGE], before[at : at + _MOST_IN_RANGE]
            if same := next(compress(count(), map(is_not, ours, theirs)), min(len(ours), len(theirs))):
                places.append((at, same))
                at, done = at + same, done + same
                continue
            tx = ours[0]
            place = self._known.get(tx.wtxid_le)
            if place is None:
                place = new[tx.wtxid_le] = len(self._known) + len(new)
                added.append(_Tx(bytes.fromhex(tx.data_hex), *tx[1:6]))
            elif skipped := next(compress(count(), map(is_, theirs[:_AHEAD], repeat(tx))), 0):
                at += skipped
                continue
            places.append(place)
            done += 1
        own = msgspec.msgpack.encode(saved.own)
        template = json.dumps(Encoder().encode(replace(saved.template, transactions=()))).encode()
        body = msgspec.msgpack.encode(_Record(saved.at, own, template, added, places))
        return len(body).to_bytes(4, "little") + crc32(body).to_bytes(4, "little") + body, new


def _body_at(data: bytes, at: int) -> bytes:
    """The body of the record there; empty at the end, or where it is torn."""
    size, check = (int.from_bytes(data[at + i : at + i + 4], "little") for i in (0, 4))
    body = data[at + _HEAD_BYTES : at + _HEAD_BYTES + size]
    return body if len(body) == size and crc32(body) == check else b""


def _transactions(record: _Record, known: Sequence[TemplateTx], before: Sequence[TemplateTx]) -> tuple[TemplateTx, ...]:
    """Those of a record; `before` are those of the record before it. Raises LookupError if one is not there."""
    found: list[TemplateTx] = []
    for place in record.places:
        if isinstance(place, int):
            found.append(known[place])
            continue
        start, length = place
        if not 0 <= start <= start + length <= len(before):
            raise IndexError("a range of transactions that the record before does not have")
        found += before[start : start + length]
    return tuple(found)
