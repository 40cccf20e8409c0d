"""The lines of shares in a packet, read by jitted code: a mining.submit in the form that clients send.

Any other line ends the reading and is left to the session. Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from solominer.engines.stratum.native import (
    BITS,
    COLUMNS,
    EXTRANONCE2,
    ID_AT,
    ID_LEN,
    JOB_AT,
    JOB_LEN,
    LINE_AT,
    LINE_END,
    NTIME,
    SAME,
    USER_AT,
    USER_LEN,
)
from solominer.engines.stratum.reference import MAX_BATCH

MAX_LINE_BYTES = 1024
MAX_ID_BYTES = 64


def make_scan() -> Any:
    """`scan(data, size, at, rows)`: read shares from place `at` of `size` bytes on, up to the first line that is none.

    Results: their number, where that line begins, whether user and job are the same in all, and where the first one's
    username begins and ends, and its job id.
    """
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
    def swapped(value):  # type: ignore[no-untyped-def]
        """The bytes of a number of 32 bits in the opposite order."""
        return (value & 0xFF) << 24 | (value & 0xFF00) << 8 | value >> 8 & 0xFF00 | value >> 24

    @helper
    def params(data, at, end, rows, row):  # type: ignore[no-untyped-def]
        """Behind the list of 5 or 6 texts that begins at `at`, or -1."""
        if at >= end or data[at] != 91:
            return -1
        at = skip(data, at + 1, end)
        rows[row + BITS] = 0
        for index in range(7):
            behind = text(data, at, end)
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
                low, high = number(data, first, first + 8), number(data, first + 8, last)
                if low < 0 or high < 0:
                    return -1
                rows[row + EXTRANONCE2] = swapped(low) | swapped(high) << 32
            else:
                value = number(data, first, last)
                if value < 0:
                    return -1
                rows[row + NTIME + index - 3] = value
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
    def request(data, at, end, rows, row):  # type: ignore[no-untyped-def]
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
                rows[row + ID_AT] = at
                if at < end and data[at] == 34:
                    behind = text(data, at, end)
                else:
                    behind = at
                    while behind < end and 48 <= data[behind] <= 57:
                        behind += 1
                    if behind == at or (data[at] == 48 and behind - at > 1):
                        return False
                rows[row + ID_LEN] = behind - at
                if behind < 0 or behind - at > MAX_ID_BYTES:
                    return False
            elif size == 6 and spells(data, key, method_key):
                part = 2
                behind = text(data, at, end)
                if behind - at != 15 or not spells(data, at + 1, method):
                    return False
            elif size == 6 and spells(data, key, params_key):
                part = 4
                behind = params(data, at, end, rows, row)
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
    def scan(data, size, at, rows):  # type: ignore[no-untyped-def]
        count, alike = 0, 1
        while count < MAX_BATCH:
            end = at
            while end < size and data[end] != 10:
                end += 1
            if end == size or end - at > MAX_LINE_BYTES:
                break
            row = count * COLUMNS
            if not request(data, at, end, rows, row):
                break
            rows[row + LINE_AT], rows[row + LINE_END] = at, end
            rows[row + SAME] = 0
            if count:
                last = row - COLUMNS
                if (
                    rows[row + USER_LEN] == rows[last + USER_LEN]
                    and rows[row + JOB_LEN] == rows[last + JOB_LEN]
                    and same(data, rows[row + JOB_AT], rows[last + JOB_AT], rows[row + JOB_LEN])
                    and same(data, rows[row + USER_AT], rows[last + USER_AT], rows[row + USER_LEN])
                ):
                    rows[row + SAME] = 1
                else:
                    alike = 0
            count += 1
            at = end + 1
        user, job = rows[USER_AT], rows[JOB_AT]
        return count, at, alike, user, user + rows[USER_LEN], job, job + rows[JOB_LEN]

    return scan
