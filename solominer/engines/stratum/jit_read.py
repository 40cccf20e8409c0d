"""The shares in a packet, read by jitted code: the lines of V1, and the records of V2.

A line is a mining.submit in the form that clients send; any other is left to the session. Records have one size and
follow each other: they are what was decrypted, without the headers of their frames. Importing this module imports
Numba.
"""

from __future__ import annotations

import numba
import numpy as np

from solominer.engines.stratum.native import (
    BEHIND,
    BITS,
    COLUMNS,
    EXTRANONCE2,
    ID_AT,
    ID_LEN,
    JOB_AT,
    JOB_ID_LEN,
    JOB_LEN,
    NONCE,
    NTIME,
    RECORD_BYTES,
    RECORD_CHANNEL,
    RECORD_EXTRANONCE,
    RECORD_JOB,
    RECORD_NONCE,
    RECORD_NTIME,
    RECORD_SIZE,
    RECORD_VERSION,
    USER_AT,
    USER_LEN,
    USERNAME_LEN,
    VERSION,
)

MAX_LINE_BYTES = 1024
MAX_ID_BYTES = 64
_EXTRANONCE2_BYTES = 8


_helper = numba.njit(boundscheck=False)
_SUBMIT, _METHOD, _PARAMS = (np.frombuffer(text, np.uint8) for text in (b"mining.submit", b"method", b"params"))


@_helper
def _skip(data, at, end):  # type: ignore[no-untyped-def]
    while at < end and (data[at] == 32 or data[at] == 9 or data[at] == 13):
        at += 1
    return at


@_helper
def _text(data, at, end):  # type: ignore[no-untyped-def]
    """Behind the closing quote of the text that begins at `at` (the opening one), or -1 if it is not plain."""
    if at >= end or data[at] != 34:
        return -1
    at += 1
    while at < end and data[at] != 34:
        if data[at] < 32 or data[at] > 126 or data[at] == 92:
            return -1
        at += 1
    return at + 1 if at < end else -1


@_helper
def _spells(data, at, word):  # type: ignore[no-untyped-def]
    for i in range(len(word)):  # noqa: SIM110 - Numba has no generators here
        if data[at + i] != word[i]:
            return False
    return True


@_helper
def _number(data, at, end):  # type: ignore[no-untyped-def]
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


@_helper
def _swapped(value):  # type: ignore[no-untyped-def]
    """The bytes of a number of 32 bits in the opposite order."""
    return (value & 0xFF) << 24 | (value & 0xFF00) << 8 | value >> 8 & 0xFF00 | value >> 24


@_helper
def _params(data, at, end, rows, row):  # type: ignore[no-untyped-def]
    """Behind the list of 5 or 6 texts that begins at `at`, or -1."""
    if at >= end or data[at] != 91:
        return -1
    at = _skip(data, at + 1, end)
    rows[row + BITS] = 0
    for index in range(7):
        behind = _text(data, at, end)
        if behind < 0 or index == 6:
            return -1
        first, last = at + 1, behind - 1
        if index == 0:
            rows[row + USER_AT], rows[row + USER_LEN] = first, last - first
        elif index == 1:
            rows[row + JOB_AT], rows[row + JOB_LEN] = first, last - first
        elif index == 2:
            if last - first != 16:
                return -1
            low, high = _number(data, first, first + 8), _number(data, first + 8, last)
            if low < 0 or high < 0:
                return -1
            rows[row + EXTRANONCE2] = _swapped(low) | _swapped(high) << 32
        else:
            value = _number(data, first, last)
            if value < 0:
                return -1
            rows[row + NTIME + index - 3] = value
        at = _skip(data, behind, end)
        if at >= end:
            return -1
        if data[at] == 93:
            return at + 1 if index >= 4 else -1
        if data[at] != 44:
            return -1
        at = _skip(data, at + 1, end)
    return -1


@_helper
def _request(data, at, end, rows, row):  # type: ignore[no-untyped-def]
    """Whether the line is a mining.submit in plain form; the row is filled then."""
    at = _skip(data, at, end)
    if at >= end or data[at] != 123:
        return False
    at = _skip(data, at + 1, end)
    found = 0
    while True:
        behind = _text(data, at, end)
        if behind < 0:
            return False
        size, key = behind - at - 2, at + 1
        at = _skip(data, behind, end)
        if at >= end or data[at] != 58:
            return False
        at = _skip(data, at + 1, end)
        if size == 2 and data[key] == 105 and data[key + 1] == 100:  # id
            part = 1
            rows[row + ID_AT] = at
            if at < end and data[at] == 34:
                behind = _text(data, at, end)
            else:
                behind = at
                while behind < end and 48 <= data[behind] <= 57:
                    behind += 1
                if behind == at or (data[at] == 48 and behind - at > 1):
                    return False
            rows[row + ID_LEN] = behind - at
            if behind < 0 or behind - at > MAX_ID_BYTES:
                return False
        elif size == 6 and _spells(data, key, _METHOD):
            part = 2
            behind = _text(data, at, end)
            if behind - at != 15 or not _spells(data, at + 1, _SUBMIT):
                return False
        elif size == 6 and _spells(data, key, _PARAMS):
            part = 4
            behind = _params(data, at, end, rows, row)
            if behind < 0:
                return False
        else:
            return False
        if found & part:
            return False
        found |= part
        at = _skip(data, behind, end)
        if at >= end:
            return False
        if data[at] == 125:
            return found == 7 and _skip(data, at + 1, end) == end
        if data[at] != 44:
            return False
        at = _skip(data, at + 1, end)


@_helper
def read_line(data, at, size, rows, row):  # type: ignore[no-untyped-def]
    """Fill the row with the share at place `at` of `size` bytes; where the next line begins, or -1 if it is none."""
    end = at
    while end < size and data[end] != 10:
        end += 1
    if end == size or end - at > MAX_LINE_BYTES or not _request(data, at, end, rows, row):
        return -1
    rows[row + BEHIND] = end + 1
    return end + 1


@_helper
def _same(data, at, size, names, names_at, names_size):  # type: ignore[no-untyped-def]
    if size != names_size:
        return False
    for i in range(size):  # noqa: SIM110
        if data[at + i] != names[names_at + i]:
            return False
    return True


@_helper
def read_lines(data, at, size, bounds, names, most, rows):  # type: ignore[no-untyped-def]
    """Fill up to `most` rows with shares of these names, username and job id, joined; how many they are."""
    user_len, job_len = bounds[USERNAME_LEN], bounds[JOB_ID_LEN]
    count = np.int64(0)
    while count < most:
        row = count * COLUMNS
        at = read_line(data, at, size, rows, row)
        if at < 0:
            break
        if not _same(data, rows[row + USER_AT], rows[row + USER_LEN], names, 0, user_len):
            break
        if not _same(data, rows[row + JOB_AT], rows[row + JOB_LEN], names, user_len, job_len):
            break
        count += 1
    return count


@_helper
def _uint32(data, at):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    for i in range(4):
        value |= np.int64(data[at + i]) << 8 * i
    return value


@_helper
def read_records(data, at, size, bounds, names, most, rows):  # type: ignore[no-untyped-def]
    """Fill up to `most` rows with records of these names; how many they are.

    Their version bits are those in which they differ from the job's.
    """
    record, count = bounds[RECORD_BYTES], np.int64(0)
    extranonce_bytes = max(record - RECORD_EXTRANONCE, 0)
    channel, job_id = _uint32(names, 0), _uint32(names, 4)
    while count < most and at + record <= size:
        if _uint32(data, at + RECORD_CHANNEL) != channel or _uint32(data, at + RECORD_JOB) != job_id:
            break
        if record > RECORD_SIZE and data[at + RECORD_SIZE] != extranonce_bytes:
            break
        row = count * COLUMNS
        rows[row + NONCE] = _uint32(data, at + RECORD_NONCE)
        rows[row + NTIME] = _uint32(data, at + RECORD_NTIME)
        rows[row + BITS] = _uint32(data, at + RECORD_VERSION) ^ bounds[VERSION]
        value = np.int64(0)
        for i in range(extranonce_bytes):
            place = _EXTRANONCE2_BYTES - extranonce_bytes + i
            value |= np.int64(data[at + RECORD_EXTRANONCE + i]) << 8 * place
        rows[row + EXTRANONCE2] = value
        count += 1
        at += record
        rows[row + BEHIND] = at
    return count
