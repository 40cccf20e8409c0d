"""Packets of shares without a Python object for each share: read, checked and answered by compiled code.

Only the plain case is done here: a mining.submit in the form that clients send, of a job on the present tip. Any other
line, and any share that is a block, worth a record, or refused for another reason than its hash, is left to the
session, one line at a time; so this decides nothing that the session would decide otherwise.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from solominer.engines.stratum.duplicates import Seen
from solominer.engines.stratum.native import (
    COLUMNS,
    JOB_LEN,
    LINE_AT,
    LINE_END,
    PACKET,
    REPLY_BYTES,
    RESULT_WORDS,
    SAME,
    SPECIAL,
    USER_AT,
    address,
)
from solominer.engines.stratum.reference import MAX_BATCH
from solominer.engines.stratum.validate import Prepared, Validator
from solominer.work.miners import NO_HASH

MAX_PACKETS, MAX_BYTES = 128, 16384
"""Of packets that are taken at once: their shares are fewer than MAX_BATCH."""

_PACKET = Struct("=3q")
_TAKEN = Struct("=q16x5q32s")
_PACKET_BYTES = _TAKEN.size


class Taken(NamedTuple):
    """Shares at the beginning of a packet: how many lines, where the next one begins, and what became of them.

    `replies` are the answers; so many shares were accepted, so many above their target, and the others duplicates.
    """

    lines: int
    next_at: int
    replies: bytes
    accepted: int
    above: int
    best_hash: int


NOTHING_TAKEN = Taken(0, 0, b"", 0, 0, NO_HASH)


class Aim:
    """What the shares of one worker and job must meet on one connection: times in Unix seconds, targets as numbers."""

    __slots__ = ("_bounds", "_names", "_parts", "_prepared", "_targets", "address", "arguments")

    def __init__(
        self,
        batch: Batch,
        prepared: Prepared,
        names: tuple[bytes, bytes],
        extranonce1: bytes,
        *,
        record_bytes: int = 0,
        version: int,
        version_mask: int,
        ntime_min: int,
        ntime_max: int,
        target: int,
        notable_target: int,
    ) -> None:
        username, job_id = names
        extranonce = int.from_bytes(extranonce1, "little")
        bounds = (extranonce, version, version_mask, ntime_min, ntime_max, len(username), len(job_id), record_bytes)
        self._names, self._prepared = array("B", username + job_id), prepared
        self._bounds = array("q", bounds)
        self._targets = array("I", target.to_bytes(32, "little") + notable_target.to_bytes(32, "little"))
        self.arguments = (
            address(self._bounds), prepared.address, batch.validator.shares_at, address(self._targets),
            batch.validator.results_at, prepared.scratch_at, batch.codes,
        )  # fmt: skip
        parts = address(self._bounds), prepared.address, address(self._targets), prepared.scratch_at
        self._parts = array("q", (*parts, address(self._names)))
        self.address = address(self._parts)


class Packet(NamedTuple):
    """Bytes from one connection, and what their shares are expected to meet; None: no share is taken."""

    data: bytes
    aim: Aim | None


class Batch:
    """The shares of a part of a packet, and what became of them; `validator` hashes them.

    Rows are valid until the next `scan` or `take`. One per thread.
    """

    def __init__(self, validator: Validator) -> None:
        self.validator, self._native = validator, validator.native
        self._rows = array("q", [0]) * (MAX_BATCH * COLUMNS)
        self._codes = array("B", [0]) * MAX_BATCH
        self._replies = array("B", [0]) * (MAX_BATCH * REPLY_BYTES)
        self._data = b""
        self.count = 0
        self.rows, self.codes = address(self._rows), address(self._codes)
        self._out = address(self._replies)
        self._packets = array("q", [0]) * (MAX_PACKETS * PACKET)
        self._packets_at = address(self._packets)
        self._shares, self._results = validator.shares_at, validator.results_at
        self._packets_bytes, self._replies_bytes = memoryview(self._packets).cast("B"), memoryview(self._replies)

    def take(self, aim: Aim, seen: Seen, data: bytes, at: int) -> Taken:
        """Read shares from place `at` on, check and answer them, if all are for `aim` and none is special."""
        _PACKET.pack_into(self._packets, 0, at, len(data), aim.address)
        return self._take(seen, data, 1)[0]

    def take_each(self, packets: Sequence[Packet], seen: Seen) -> list[Taken]:
        """The same with whole packets, at most MAX_PACKETS of MAX_BYTES in all; places are those in each packet."""
        at = 0
        for number, (data, aim) in enumerate(packets):
            end = at + len(data)
            _PACKET.pack_into(self._packets, number * _PACKET_BYTES, at, end, aim.address if aim is not None else 0)
            at = end
        return self._take(seen, b"".join([data for data, _ in packets]), len(packets))

    def _take(self, seen: Seen, data: bytes, count: int) -> list[Taken]:
        self._native.take(
            data, self._packets_at, count, self.rows, self._shares, self._results, self.codes,
            seen.directory_at, len(seen.tables), seen.room, self._out,
        )  # fmt: skip
        seen.used(self._native.results[0])
        taken, sent, replies = [], 0, self._replies_bytes
        for start, lines, after, size, accepted, above, best in _TAKEN.iter_unpack(
            self._packets_bytes[: count * _PACKET_BYTES]
        ):
            if lines:
                best_hash = int.from_bytes(best, "little") if accepted else NO_HASH
                told = bytes(replies[sent : sent + size])
                sent += size
                taken.append(Taken(lines, after - start, told, accepted, above, best_hash))
            else:
                taken.append(NOTHING_TAKEN)
        return taken

    def scan(self, data: bytes, at: int) -> int:
        """Read shares from place `at` of a packet on, up to the first line that is none; where that line begins."""
        self._data = data
        self._native.scan(data, len(data), at, self.rows)
        self.count, end = self._native.results[:2]
        return end

    def groups(self) -> list[tuple[int, int, bytes, bytes]]:
        """(first row, row behind the last, username, job id) of shares that follow each other and agree in both."""
        rows, data = self._rows, self._data
        starts = [row for row in range(self.count) if not rows[row * COLUMNS + SAME]]
        groups = []
        for start, end in zip(starts, [*starts[1:], self.count], strict=True):
            user_at, user_len, job_at, job_len = rows[start * COLUMNS + USER_AT : start * COLUMNS + JOB_LEN + 1]
            groups.append((start, end, data[user_at : user_at + user_len], data[job_at : job_at + job_len]))
        return groups

    def line(self, row: int) -> bytes:
        """The line of a row."""
        at = row * COLUMNS
        return self._data[self._rows[at + LINE_AT] : self._rows[at + LINE_END]]

    def check(self, aim: Aim, start: int, end: int) -> list[int]:
        """Hash these rows of one job; which of them are special."""
        self._native.judge(self.rows, start, end, *aim.arguments)
        return [row for row in range(start, end) if self._codes[row] == SPECIAL] if self._native.results[0] else []

    def mark(self, seen: Seen, start: int, end: int) -> None:
        """Find duplicates among the accepted rows, and remember the others."""
        while start < end:
            self._native.mark(self._results, self.codes, start, end, seen.directory_at, len(seen.tables), seen.room)
            start, added = self._native.results[:2]
            seen.used(added)

    def answer(self, start: int, end: int) -> Taken:
        """What became of these rows."""
        self._native.write(self._data, self.rows, self.codes, self._results, start, end, self._out)
        size, accepted, above, best = self._native.results[:4]
        hash_int = NO_HASH
        if best >= 0:
            at = best * RESULT_WORDS
            hash_int = int.from_bytes(self.validator.results[at : at + 8].tobytes(), "little")
        after = self._rows[(end - 1) * COLUMNS + LINE_END] + 1
        return Taken(end - start, after, bytes(self._replies_bytes[:size]), accepted, above, hash_int)
