"""The shares of Stratum V2 in a packet, read by jitted code: records of one size that follow each other.

They are what was decrypted, without the headers of their frames. Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from solominer.engines.stratum.native import (
    BITS,
    COLUMNS,
    EXTRANONCE2,
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
    VERSION,
)
from solominer.engines.stratum.reference import MAX_BATCH

_helper = numba.njit(boundscheck=False)
_EXTRANONCE2_BYTES = 8


def make_read() -> Any:
    """`read(data, size, at, bounds, names, rows)`: read records up to the first that is not of these names.

    Results: how many they are, and where they end. Their version bits are those in which they differ from the job's.
    """

    @_helper
    def number(data, at):  # type: ignore[no-untyped-def]
        value = np.int64(0)
        for i in range(4):
            value |= np.int64(data[at + i]) << 8 * i
        return value

    @_helper
    def read(data, size, at, bounds, names, rows):  # type: ignore[no-untyped-def]
        record, count = bounds[RECORD_BYTES], np.int64(0)
        extranonce_bytes = max(record - RECORD_EXTRANONCE, 0)
        channel, job_id = number(names, 0), number(names, 4)
        while count < MAX_BATCH and at + record <= size:
            if number(data, at + RECORD_CHANNEL) != channel or number(data, at + RECORD_JOB) != job_id:
                break
            if record > RECORD_SIZE and data[at + RECORD_SIZE] != extranonce_bytes:
                break
            row = count * COLUMNS
            rows[row + NONCE] = number(data, at + RECORD_NONCE)
            rows[row + NTIME] = number(data, at + RECORD_NTIME)
            rows[row + BITS] = number(data, at + RECORD_VERSION) ^ bounds[VERSION]
            value = np.int64(0)
            for i in range(extranonce_bytes):
                place = _EXTRANONCE2_BYTES - extranonce_bytes + i
                value |= np.int64(data[at + RECORD_EXTRANONCE + i]) << 8 * place
            rows[row + EXTRANONCE2] = value
            count += 1
            at += record
        return count, at

    return read


def make_write_codes() -> Any:
    """`write_codes(codes, start, end, out, out_at)`: a byte for each row; how many they are."""

    @_helper
    def write_codes(codes, start, end, out, out_at):  # type: ignore[no-untyped-def]
        for number in range(start, end):
            out[out_at + number - start] = codes[number]
        return end - start

    return write_codes
