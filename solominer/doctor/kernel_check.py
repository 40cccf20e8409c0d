"""`python -m solominer.doctor.kernel_check CACHE_DIR [KERNEL]`: load a kernel and compare it with hashlib.

Prints one JSON object. It runs in its own process because an instruction that the CPU lacks kills the process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from solominer.engines.cpu.kernel import Kernel, load_kernel, midstate
from solominer.engines.cpu.reference import scan_headers, tail_words
from solominer.errors import SolominerError
from solominer.views.text import rate

NONCES = 512
_EASY_WORD = 0x03FFFFFF
_RATE_NONCES = 1 << 16


def compare(kernel: Kernel, seed: int) -> int:
    """Compare kernel and hashlib on random headers. Returns the number of hashes. Raises SolominerError."""
    rng = Random(seed)
    heads = [rng.randbytes(64) for _ in range(kernel.midstates)]
    header = heads[0] + rng.randbytes(16)
    start = rng.randrange((1 << 32) - NONCES)
    hits = np.zeros((4096 + kernel.midstates, 2), np.uint32)
    states = np.array([midstate(head) for head in heads], np.uint32)
    found, done = kernel.scan(states, tail_words(header), start, NONCES, _EASY_WORD, hits)
    expected = scan_headers(heads, header[64:76], start, done, _EASY_WORD)
    if [(int(index), int(nonce)) for index, nonce in hits[:found]] != expected:
        raise SolominerError(
            f"kernel {kernel.name} disagrees with hashlib on this machine",
            "select another kernel with the setting kernel; if all disagree, test this machine's memory and processor",
        )
    return done * len(heads)


def measure_hps(kernel: Kernel) -> float:
    """Hash rate of one core in H/s, measured once for a fraction of a second."""
    states = np.array([midstate(bytes(64)) for _ in range(kernel.midstates)], np.uint32)
    hits = np.zeros((kernel.midstates, 2), np.uint32)
    started = time.perf_counter()
    _, done = kernel.scan(states, tail_words(bytes(80)), 0, _RATE_NONCES, 0, hits)
    return done * kernel.midstates / (time.perf_counter() - started)


def main(cache_dir: str, name: str | None = None) -> dict[str, Any]:
    """The result as a JSON object."""
    try:
        kernel = load_kernel(name, cache_dir=Path(cache_dir))
        tested = sum(compare(kernel, seed) for seed in range(4))
    except SolominerError as error:
        return {"problem": error.what, "todo": error.todo}
    result = {"kernel": kernel.name, "tested": tested, "rate": f"{rate(measure_hps(kernel))} on one core"}
    return {"problem": "", "todo": "", **result}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
