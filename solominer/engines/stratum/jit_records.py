"""The shares of Stratum V2 in a packet, read by jitted code: records of one size that follow each other.

They are what was decrypted, without the headers of their frames. Importing this module imports Numba.
"""

from __future__ import annotations

import numba
import numpy as np

from solominer.engines.stratum.native import (
    BEHIND,
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

_helper = numba.njit(boundscheck=False)
_EXTRANONCE2_BYTES = 8


@_helper
def _number(data, at):  # type: ignore[no-untyped-def]
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
    channel, job_id = _number(names, 0), _number(names, 4)
    while count < most and at + record <= size:
        if _number(data, at + RECORD_CHANNEL) != channel or _number(data, at + RECORD_JOB) != job_id:
            break
        if record > RECORD_SIZE and data[at + RECORD_SIZE] != extranonce_bytes:
            break
        row = count * COLUMNS
        rows[row + NONCE] = _number(data, at + RECORD_NONCE)
        rows[row + NTIME] = _number(data, at + RECORD_NTIME)
        rows[row + BITS] = _number(data, at + RECORD_VERSION) ^ bounds[VERSION]
        value = np.int64(0)
        for i in range(extranonce_bytes):
            place = _EXTRANONCE2_BYTES - extranonce_bytes + i
            value |= np.int64(data[at + RECORD_EXTRANONCE + i]) << 8 * place
        rows[row + EXTRANONCE2] = value
        count += 1
        at += record
        rows[row + BEHIND] = at
    return count
