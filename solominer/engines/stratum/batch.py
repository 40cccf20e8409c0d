"""Packets of shares without a Python object for each share: read, checked and answered by jitted code.

Only the plain case is done here: a mining.submit in the form that clients send, of a job on the present tip. Any other
line, and any share that is a block, worth a record, or refused for another reason than its hash, is left to the
session, one line at a time; so this decides nothing that the session would decide otherwise. Importing this module
imports Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from solominer.engines.stratum.duplicates import Duplicates
from solominer.engines.stratum.messages import Errors, reply_error, reply_true
from solominer.engines.stratum.reference import MAX_BATCH, JobParts
from solominer.engines.stratum.validate import Validator

ACCEPTED, ABOVE_TARGET, DUPLICATE, SPECIAL = 0, 1, 2, 3
"""What becomes of a share. A special one is to be handled by the session."""

_LINE_AT, _LINE_END, _ID_AT, _ID_LEN, _USER_AT, _USER_LEN, _JOB_AT, _JOB_LEN = range(8)
_EXTRANONCE2_AT, _NTIME, _NONCE, _BITS, _SAME, _COLUMNS = range(8, 14)
_MAX_LINE_BYTES = 1024
_MAX_ID_BYTES = 64
_ROW_WORDS, _RESULT_WORDS = 14, 9
_REPLY_BYTES = 192


class Batch:
    """The shares of a part of a packet, and what became of them; `validator` hashes them.

    Rows are valid until the next `scan`. One per thread.
    """

    def __init__(self, validator: Validator) -> None:
        self.validator = validator
        self._scan = _make_scan()
        self._judge, self._write, self._seen, self._add, self._whole = _make_judge(validator.jitted_check)
        self._rows = np.zeros((MAX_BATCH, _COLUMNS), np.int64)
        self._codes = np.zeros(MAX_BATCH, np.uint8)
        self._shares = np.zeros(MAX_BATCH * _ROW_WORDS, np.uint32)
        self._results = np.zeros(MAX_BATCH * _RESULT_WORDS, np.uint32)
        self._replies = np.zeros(MAX_BATCH * _REPLY_BYTES, np.uint8)
        self._data = b""
        self._bytes = np.zeros(0, np.uint8)
        self._first: tuple[int, ...] = (0, 0, 0, 0)
        self._same = True
        self.count = 0

    def warm_up(self) -> None:
        """Compile everything, by a made-up share; takes seconds."""
        parts = JobParts(bytes(64), bytes(60), 12, (bytes(32),), bytes(32), 0x1D00FFFF, 1)
        line = b'{"id":1,"method":"mining.submit","params":["u","j","%016x","00000000","00000000","00000000"]}\n'
        duplicates = Duplicates(slots=(2, 4))
        for number in (1, 2, 1):
            self.scan(line % number, 0)
            aim = Aim(
                self.validator, self.validator.prepare(parts), bytes(4), version=0, version_mask=0, ntime_min=0,
                ntime_max=0, target=(1 << 256) - 1, notable_target=0,
            )  # fmt: skip
            self.check(aim, 0, 1)
            self.mark(duplicates, b"", 0, 1)
            self.answer(0, 1)
            self.whole(aim, Duplicates(), b"", 0, 1)

    def scan(self, data: bytes, at: int) -> int:
        """Read shares from place `at` of a packet on, up to the first line that is none; where that line begins."""
        if data is not self._data:
            self._data, self._bytes = data, np.frombuffer(data, np.uint8)
        self.count, end, same, *first = self._scan(self._bytes, at, self._rows)
        self._same, self._first = bool(same), tuple(first)
        return int(end)

    def groups(self) -> list[tuple[int, int, bytes, bytes]]:
        """(first row, row behind the last, username, job id) of shares that follow each other and agree in both."""
        rows, data = self._rows, self._data
        if self._same:
            user_at, user_end, job_at, job_end = self._first
            return [(0, self.count, data[user_at:user_end], data[job_at:job_end])]
        starts = [0, *(np.flatnonzero(rows[1 : self.count, _SAME] == 0) + 1).tolist()] if self.count > 1 else [0]
        ends = [*starts[1:], self.count]
        groups = []
        for start, end in zip(starts, ends, strict=True):
            _, _, _, _, user_at, user_len, job_at, job_len = rows[start, :8].tolist()
            groups.append((start, end, data[user_at : user_at + user_len], data[job_at : job_at + job_len]))
        return groups

    def line(self, row: int) -> bytes:
        """The line of a row."""
        return self._data[self._rows[row, _LINE_AT] : self._rows[row, _LINE_END]]

    def aim(self, prepared: Any, extranonce1: bytes, **bounds: int) -> Aim:
        """What shares of a prepared job must meet."""
        return Aim(self.validator, prepared, extranonce1, **bounds)

    def whole(
        self, aim: Aim, duplicates: Duplicates, tip_le: bytes, start: int, end: int
    ) -> tuple[bytes, int, int, int, int] | None:
        """The same as `check`, `mark` and `answer`, in one go; None if there are special rows, or tables run full."""
        (table, *more) = duplicates.tables(tip_le)
        if more or table.room < end - start:
            return None
        special, size, accepted, above, best = self._whole(
            self._bytes, self._rows, start, end, aim.prepared, self._shares, self._results, aim.scratch, aim.bounds,
            aim.targets, self._codes, _slots(table), self._replies,
        )  # fmt: skip
        if special:
            return None
        table.room -= accepted
        return self._told(size, accepted, above, end - start, best)

    def check(self, aim: Aim, start: int, end: int) -> bool:
        """Hash these rows of one job; whether any of them is special."""
        return bool(
            self._judge(
                self._bytes, self._rows, start, end, aim.prepared, self._shares, self._results, aim.scratch,
                aim.bounds, aim.targets, self._codes,
            )
        )  # fmt: skip

    def special(self, start: int, end: int) -> list[int]:
        """The special rows among these."""
        return [int(row) + start for row in np.flatnonzero(self._codes[start:end] == SPECIAL)]

    def mark(self, duplicates: Duplicates, tip_le: bytes, start: int, end: int) -> None:
        """Find duplicates among the accepted rows, and remember the others."""
        tables = duplicates.tables(tip_le)
        for table in tables[:-1]:
            self._seen(_slots(table), self._results, self._codes, start, end)
        at = start
        while at < end:
            table = tables[-1]
            at, added = self._add(_slots(table), self._results, self._codes, at, end, table.room)
            table.room -= added
            if not table.room:
                duplicates.grow(tables)
                self._seen(_slots(table), self._results, self._codes, at, end)

    def answer(self, start: int, end: int) -> tuple[bytes, int, int, int, int]:
        """The replies to these rows; how many were accepted, above their target and duplicates; the best hash."""
        size, accepted, above, best = self._write(
            self._bytes, self._rows, self._codes, self._results, start, end, self._replies
        )
        return self._told(size, accepted, above, end - start, best)

    def _told(self, size: int, accepted: int, above: int, count: int, best: int) -> tuple[bytes, int, int, int, int]:
        hash_int = 1 << 256
        if best >= 0:
            at = best * _RESULT_WORDS
            hash_int = int.from_bytes(self._results[at : at + 8].tobytes(), "little")
        return self._replies[:size].tobytes(), accepted, above, count - accepted - above, hash_int


class Aim:
    """What the shares of one job must meet on one connection. Times in Unix seconds, targets as numbers."""

    __slots__ = ("bounds", "prepared", "scratch", "targets")

    def __init__(
        self,
        validator: Validator,
        prepared: Any,
        extranonce1: bytes,
        *,
        version: int,
        version_mask: int,
        ntime_min: int,
        ntime_max: int,
        target: int,
        notable_target: int,
    ) -> None:
        self.prepared, self.scratch = prepared, validator.scratch_for(prepared)
        self.bounds = np.array(
            (int.from_bytes(extranonce1, "little"), version, version_mask, ntime_min, ntime_max), np.int64
        )
        both = target.to_bytes(32, "little") + notable_target.to_bytes(32, "little")
        self.targets = np.frombuffer(both, np.uint32).copy()


def _slots(table: Any) -> Any:
    if table.view is None:
        table.view = np.frombuffer(table.slots, np.uint64)
    return table.view


def _make_scan() -> Callable[..., tuple[int, ...]]:
    helper = numba.njit(boundscheck=False)
    method = np.frombuffer(b"mining.submit", np.uint8)
    method_key, params_key = np.frombuffer(b"method", np.uint8), np.frombuffer(b"params", np.uint8)

    @helper
    def skip(data, at, end):  # type: ignore[no-untyped-def]
        while at < end and (data[at] == 32 or data[at] == 9 or data[at] == 13):
            at += 1
        return at

    @helper
    def text(data, at, end):  # type: ignore[no-untyped-def]
        """Behind the closing quote of the text that begins at `at` (the opening one), or -1 if it is not plain."""
        if at >= end or data[at] != 34:
            return -1
        at += 1
        while at < end and data[at] != 34:
            if data[at] < 32 or data[at] > 126 or data[at] == 92:
                return -1
            at += 1
        return at + 1 if at < end else -1

    @helper
    def spells(data, at, word):  # type: ignore[no-untyped-def]
        for i in range(len(word)):  # noqa: SIM110 - Numba has no generators here
            if data[at + i] != word[i]:
                return False
        return True

    @helper
    def number(data, at, end):  # type: ignore[no-untyped-def]
        """The number in 1 to 8 hex digits, or -1."""
        if not 0 < end - at <= 8:
            return -1
        value = 0
        for i in range(at, end):
            c = data[i]
            if 48 <= c <= 57:
                digit = c - 48
            elif 97 <= c <= 102:
                digit = c - 87
            elif 65 <= c <= 70:
                digit = c - 55
            else:
                return -1
            value = value << 4 | digit
        return value

    @helper
    def params(data, at, end, row):  # type: ignore[no-untyped-def]
        """Behind the list of 5 or 6 texts that begins at `at`, or -1."""
        if at >= end or data[at] != 91:
            return -1
        at = skip(data, at + 1, end)
        row[_BITS] = 0
        for index in range(7):
            behind = text(data, at, end)
            if behind < 0 or index == 6:
                return -1
            first, last = at + 1, behind - 1
            if index == 0:
                row[_USER_AT], row[_USER_LEN] = first, last - first
            elif index == 1:
                row[_JOB_AT], row[_JOB_LEN] = first, last - first
            elif index == 2:
                if last - first != 16 or number(data, first, first + 8) < 0 or number(data, first + 8, last) < 0:
                    return -1
                row[_EXTRANONCE2_AT] = first
            else:
                value = number(data, first, last)
                if value < 0:
                    return -1
                row[_NTIME + index - 3] = value
            at = skip(data, behind, end)
            if at >= end:
                return -1
            if data[at] == 93:
                return at + 1 if index >= 4 else -1
            if data[at] != 44:
                return -1
            at = skip(data, at + 1, end)
        return -1

    @helper
    def request(data, at, end, row):  # type: ignore[no-untyped-def]
        """Whether the line is a mining.submit in plain form; the row is filled then."""
        at = skip(data, at, end)
        if at >= end or data[at] != 123:
            return False
        at = skip(data, at + 1, end)
        found = 0
        while True:
            behind = text(data, at, end)
            if behind < 0:
                return False
            size, key = behind - at - 2, at + 1
            at = skip(data, behind, end)
            if at >= end or data[at] != 58:
                return False
            at = skip(data, at + 1, end)
            if size == 2 and data[key] == 105 and data[key + 1] == 100:  # id
                part = 1
                row[_ID_AT] = at
                if at < end and data[at] == 34:
                    behind = text(data, at, end)
                else:
                    behind = at
                    while behind < end and 48 <= data[behind] <= 57:
                        behind += 1
                    if behind == at or (data[at] == 48 and behind - at > 1):
                        return False
                row[_ID_LEN] = behind - at
                if behind < 0 or behind - at > _MAX_ID_BYTES:
                    return False
            elif size == 6 and spells(data, key, method_key):
                part = 2
                behind = text(data, at, end)
                if behind - at != 15 or not spells(data, at + 1, method):
                    return False
            elif size == 6 and spells(data, key, params_key):
                part = 4
                behind = params(data, at, end, row)
                if behind < 0:
                    return False
            else:
                return False
            if found & part:
                return False
            found |= part
            at = skip(data, behind, end)
            if at >= end:
                return False
            if data[at] == 125:
                return found == 7 and skip(data, at + 1, end) == end
            if data[at] != 44:
                return False
            at = skip(data, at + 1, end)

    @helper
    def same(data, one, other, size):  # type: ignore[no-untyped-def]
        for i in range(size):  # noqa: SIM110
            if data[one + i] != data[other + i]:
                return False
        return True

    @helper
    def scan(data, at, rows):  # type: ignore[no-untyped-def]
        count, size, alike = 0, len(data), True
        while count < MAX_BATCH:
            end = at
            while end < size and data[end] != 10:
                end += 1
            if end == size or end - at > _MAX_LINE_BYTES:
                break
            row = rows[count]
            if not request(data, at, end, row):
                break
            row[_LINE_AT], row[_LINE_END] = at, end
            row[_SAME] = 0
            if count:
                last = rows[count - 1]
                if (
                    row[_USER_LEN] == last[_USER_LEN]
                    and row[_JOB_LEN] == last[_JOB_LEN]
                    and same(data, row[_JOB_AT], last[_JOB_AT], row[_JOB_LEN])
                    and same(data, row[_USER_AT], last[_USER_AT], row[_USER_LEN])
                ):
                    row[_SAME] = 1
                else:
                    alike = False
            count += 1
            at = end + 1
        first = rows[0]
        user, job = first[_USER_AT], first[_JOB_AT]
        return count, at, alike, user, user + first[_USER_LEN], job, job + first[_JOB_LEN]

    return scan


def _make_judge(check: Callable[..., None]) -> tuple[Callable[..., Any], ...]:
    helper = numba.njit(boundscheck=False)
    begin = np.frombuffer(b'{"id":', np.uint8)
    ends = [reply_true(b"")[6:]] + [
        reply_error(b"", error, result=b"false")[6:] for error in (Errors.ABOVE_TARGET, Errors.DUPLICATE)
    ]
    starts = np.array([0, *np.cumsum([len(each) for each in ends])], np.int64)
    tails = np.frombuffer(b"".join(ends), np.uint8)

    @helper
    def half_byte(c):  # type: ignore[no-untyped-def]
        return np.uint32(c - 48 if c <= 57 else (c | 32) - 87)

    @helper
    def at_most(results, at, targets, target_at):  # type: ignore[no-untyped-def]
        for i in range(7, -1, -1):
            mine, limit = results[at + i], targets[target_at + i]
            if mine != limit:
                return mine < limit
        return True

    @helper
    def judge(data, rows, start, end, job, shares, results, scratch, bounds, targets, codes):  # type: ignore[no-untyped-def]
        extranonce1, version, mask = np.uint32(bounds[0]), bounds[1], bounds[2]
        for row in range(start, end):
            at, place = (row - start) * _ROW_WORDS, rows[row, _EXTRANONCE2_AT]
            shares[at] = extranonce1
            for word in range(2):
                value = np.uint32(0)
                for byte in range(4):
                    two = place + 8 * word + 2 * byte
                    value |= (half_byte(data[two]) << np.uint32(4) | half_byte(data[two + 1])) << np.uint32(8 * byte)
                shares[at + 1 + word] = value
            shares[at + 3] = np.uint32(version | (rows[row, _BITS] & mask))
            shares[at + 4] = np.uint32(rows[row, _NTIME])
            shares[at + 5] = np.uint32(rows[row, _NONCE])
            for i in range(8):
                shares[at + 6 + i] = targets[i]
        check(job, shares, results[start * _RESULT_WORDS :], scratch, end - start)
        special = 0
        for row in range(start, end):
            at = row * _RESULT_WORDS
            meets = results[at + 8]
            code = ACCEPTED if meets & np.uint32(1) else ABOVE_TARGET
            odd = rows[row, _BITS] & ~mask or not bounds[3] <= rows[row, _NTIME] <= bounds[4]
            if odd or meets & np.uint32(2) or (code == ACCEPTED and at_most(results, at, targets, 8)):
                code = SPECIAL
                special += 1
            codes[row] = code
        return special

    @helper
    def key_of(results, row):  # type: ignore[no-untyped-def]
        at = row * _RESULT_WORDS
        key = np.uint64(results[at]) | np.uint64(results[at + 1]) << np.uint64(32)
        return key if key else np.uint64(1)

    @helper
    def find(slots, key):  # type: ignore[no-untyped-def]
        mask = np.uint64(len(slots) - 1)
        at = key & mask
        while slots[at] and slots[at] != key:
            at = (at + np.uint64(1)) & mask
        return at

    @helper
    def seen(slots, results, codes, start, end):  # type: ignore[no-untyped-def]
        for row in range(start, end):
            if codes[row] == ACCEPTED and slots[find(slots, key_of(results, row))]:
                codes[row] = DUPLICATE

    @helper
    def add(slots, results, codes, start, end, room):  # type: ignore[no-untyped-def]
        """Where it stopped because the table is full, or `end`; and how many keys were added."""
        added = 0
        for row in range(start, end):
            if codes[row] == ACCEPTED:
                if added == room:
                    return row, added
                key = key_of(results, row)
                at = find(slots, key)
                if slots[at]:
                    codes[row] = DUPLICATE
                else:
                    slots[at] = key
                    added += 1
        return end, added

    @helper
    def write(data, rows, codes, results, start, end, out):  # type: ignore[no-untyped-def]
        size, accepted, above, best = 0, 0, 0, -1
        for row in range(start, end):
            for i in range(6):
                out[size + i] = begin[i]
            size += 6
            first, length = rows[row, _ID_AT], rows[row, _ID_LEN]
            for i in range(length):
                out[size + i] = data[first + i]
            size += length
            code = codes[row]
            for i in range(starts[code], starts[code + 1]):
                out[size] = tails[i]
                size += 1
            if code == ABOVE_TARGET:
                above += 1
            elif code == ACCEPTED:
                accepted += 1
                if best < 0 or at_most(results, row * _RESULT_WORDS, results, best * _RESULT_WORDS):
                    best = row
        return size, accepted, above, best

    @helper
    def whole(data, rows, start, end, job, shares, results, scratch, bounds, targets, codes, slots, out):  # type: ignore[no-untyped-def]
        special = judge(data, rows, start, end, job, shares, results, scratch, bounds, targets, codes)
        if special:
            return special, 0, 0, 0, -1
        add(slots, results, codes, start, end, end - start)
        size, accepted, above, best = write(data, rows, codes, results, start, end, out)
        return 0, size, accepted, above, best

    return judge, write, seen, add, whole
