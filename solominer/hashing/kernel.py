"""What a kernel is to its callers: `Kernel.scan`, its contract, and `load_kernel`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solominer.hashing.midstate import midstate

__all__ = ["Kernel", "load_kernel", "midstate"]

ScanFunction = Callable[..., tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A compiled search function. `scan` releases the GIL and allocates nothing; one thread at a time may call it."""

    name: str
    lanes: int
    midstates: int
    _search: ScanFunction = field(repr=False)
    _scratch: NDArray[np.uint32] = field(repr=False)
    _masks: NDArray[np.uint64] = field(repr=False)

    def scan(
        self,
        midstates: NDArray[np.uint32],
        tail: NDArray[np.uint32],
        nonce_start: int,
        nonce_count: int,
        target_word: int,
        hits: NDArray[np.uint32],
    ) -> tuple[int, int]:
        """Search nonces `nonce_start` .. `nonce_start + nonce_count - 1` of every midstate.

        `midstates`: shape (m, 8), m <= `self.midstates`, one per rolled version (see `midstate`).
        `tail`: shape (3,), header bytes 64..75 as big-endian reads: Merkle root's last word, ntime, nbits.
        A nonce is the header's nNonce (bytes 76..79 read little-endian); the range must lie within 0 .. 2**32.
        A hit is a header whose hash value's top 32 bits (digest bytes 28..31 read little-endian) <= `target_word`.
        `hits`: shape (cap, 2), receives (midstate index, nonce) in order of nonce, then midstate; cap >= m.

        Returns (hits written, nonces completed). Where the hits of a nonce would not fit, the scan ends before that
        nonce, so that the caller goes on from `nonce_start + completed` with nothing lost or doubled.
        """
        return self._search(midstates, tail, nonce_start, nonce_count, target_word, hits, self._scratch, self._masks)


def load_kernel(
    name: str | None = None, *, cache_dir: Path | None, report: Callable[[str], None] = lambda line: None
) -> Kernel:
    """Compile, or load from `cache_dir`, the variant of that name (None: the best one for this machine)."""
    from solominer.hashing.jit import layout, make_scan
    from solominer.hashing.variants import VARIANTS

    number = [each.name for each in VARIANTS].index(name or "avx512-3x2")
    info = VARIANTS[number]
    size = layout(info).size
    scratch = np.zeros(size + 16, np.uint32)
    offset = -scratch.ctypes.data % 64 // 4
    return Kernel(
        info.name,
        info.lanes,
        info.midstates,
        make_scan(number),
        scratch[offset : offset + size],
        np.zeros(info.midstates, np.uint64),
    )
