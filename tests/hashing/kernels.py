"""Kernels for tests, compiled once into the clone's .cache, and their answers beside those of hashlib."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solominer.engines.cpu.choose import available_variants
from solominer.engines.cpu.kernel import Kernel, load_kernel, midstate
from solominer.engines.cpu.reference import tail_words

CACHE = Path(__file__).parents[2] / ".cache" / "test-kernels"
NAMES = [info.name for info in available_variants()]


@cache
def kernel(name: str) -> Kernel:
    """A variant, loaded once per test run."""
    return load_kernel(name, cache_dir=CACHE)


def scan_all(
    name: str, heads: list[bytes], tail: bytes, start: int, count: int, target_word: int, room: int = 4096
) -> list[tuple[int, int]]:
    """All hits as the reference gives them, by a caller that goes on wherever a kernel stopped for want of room."""
    midstates = np.array([midstate(head) for head in heads])
    words = tail_words(heads[0] + tail)
    hits: NDArray[np.uint32] = np.zeros((max(room, len(heads)), 2), np.uint32)
    found: list[tuple[int, int]] = []
    end = start + count
    while start < end:
        written, done = kernel(name).scan(midstates, words, start, end - start, target_word, hits)
        assert 0 < done <= end - start
        assert done == end - start or written > len(hits) - len(heads), "stopped early with room left"
        found += [(index, nonce) for index, nonce in hits[:written].tolist()]
        start += done
    return found
