"""Compile one variant into a folder and end: `python -m solominer.engines.cpu.compile NUMBER FOLDER`.

A process of its own, because the compiler's memory is never given back and a worker should stay small.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numba

from solominer.engines.cpu.jit import make_midstates, make_scan
from solominer.engines.cpu.processes import die_with


def main(number: int, folder: str) -> None:
    """Leave variant `number` in Numba's cache under `folder`."""
    config: Any = numba.config
    config.CACHE_DIR = folder
    make_scan(number, cache=True)
    make_midstates(cache=True)


if __name__ == "__main__":
    die_with(os.getppid())
    main(int(sys.argv[1]), sys.argv[2])
