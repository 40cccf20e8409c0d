"""Compile one variant into a folder: `python -m solominer.engines.cpu.compile NUMBER FOLDER`.

A separate process, because the compiler never releases its memory and workers should stay small.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numba

from solominer.engines.cpu.jit import make_midstates, make_scan
from solominer.engines.pool.processes import die_with


def main(number: int, folder: str) -> None:
    """Compile variant `number` into Numba's cache in `folder`."""
    config: Any = numba.config
    config.CACHE_DIR = folder
    make_scan(number, cache=True)
    make_midstates(cache=True)


if __name__ == "__main__":
    die_with(os.getppid())
    main(int(sys.argv[1]), sys.argv[2])
