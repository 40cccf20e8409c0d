"""The box-counting dimension of a sequence of hashes laid out in a plane: each hash against the one that follows.

For hashes that look like hashes the points fill the plane, but 1,024 points cannot fill 4,096 boxes, so the slope that
is measured lies below 2. Its mean and spread are from simulation (`scripts/diagnostics-power --band`). What it is worth
beside the other tests is measured too: docs/odds-and-order.md.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BLOCK = 1025  # hashes, which make 1,024 points
FINEST = 64  # boxes on a side; every coarser grid halves it down to 2
EXPECTED_DIMENSION = 1.63160
DIMENSION_SD = 0.003532

_SIDES = np.array([FINEST >> step for step in range(int(math.log2(FINEST)))])


def box_dimension(values: NDArray[np.uint16]) -> float:
    """The least-squares slope of log(boxes hit) over log(boxes on a side), for points (values[i], values[i + 1])."""
    cells = values >> (16 - int(math.log2(FINEST)))
    hit: NDArray[np.bool_] = np.zeros((FINEST, FINEST), np.bool_)
    hit[cells[:-1], cells[1:]] = True
    counts = []
    for side in _SIDES:
        counts.append(np.count_nonzero(hit))
        half = side // 2
        hit = np.any(hit.reshape(half, 2, half, 2), axis=(1, 3))
    x, y = np.log(_SIDES), np.log(counts)
    x = x - x.mean()
    return float(x @ y / (x @ x))
