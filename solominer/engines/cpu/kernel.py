"""The interface of a kernel: `Kernel.scan` and its contract, `load_kernel`, and `midstate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solominer.engines.cpu import cache, choose
from solominer.engines.cpu import reference as plain
from solominer.engines.cpu.choose import available_variants, bench_out, choose_variant
from solominer.engines.cpu.reference import GENESIS, tail_words
from solominer.engines.cpu.variants import VARIANTS, VariantInfo
from solominer.errors import EngineError

__all__ = ["Kernel", "VariantInfo", "available_variants", "bench_out", "choose_variant", "load_kernel", "midstate"]

_UNWATCHED = np.zeros(1, np.uint64)
_compiled_midstates: list[Any] = []  # the compiled function, once a kernel has been loaded


def midstate(header64: bytes) -> NDArray[np.uint32]:
    """SHA-256's state after the first 64 bytes of a header, shape (8,).

    Takes a microsecond once a kernel has been loaded, a hundred before that (plain Python).
    """
    if not _compiled_midstates:
        return plain.midstate(header64)
    block = np.frombuffer(header64, ">u4").astype(np.uint32).reshape(1, 16)
    state = np.empty((1, 8), np.uint32)
    _compiled_midstates[0](block, state)
    return state.reshape(8)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A compiled search function. `scan` releases the GIL and allocates nothing; one thread at a time may call it.

    It searches blocks of `lanes` nonces and runs at full speed with `midstates` midstates, the maximum.
    """

    name: str
    lanes: int
    midstates: int
    _search: Any = field(repr=False)

    def scan(
        self,
        midstates: NDArray[np.uint32],
        tail: NDArray[np.uint32],
        nonce_start: int,
        nonce_count: int,
        target_word: int,
        hits: NDArray[np.uint32],
        watched: NDArray[np.uint64] = _UNWATCHED,
        seen: int = 0,
    ) -> tuple[int, int]:
        """Search nonces `nonce_start` .. `nonce_start + nonce_count - 1` of every midstate.

        `midstates`: shape (m, 8), 1 <= m <= `self.midstates`, one per rolled version (see `midstate`).
        `tail`: shape (3,), header bytes 64..75 as big-endian reads: Merkle root's last word, ntime, nbits.
        A nonce is the header's nNonce (bytes 76..79 read little-endian); the range must lie within 0 .. 2**32.
        A hit is a header whose hash value's top 32 bits (digest bytes 28..31 read little-endian) <= `target_word`.
        `hits`: shape (cap, 2), receives (midstate index, nonce) in order of nonce, then midstate; cap >= m.

        `watched`: shape (1,), a word that another process may write. When it differs from `seen`, the scan ends after
        the current block, some microseconds later.

        Returns (hits written, nonces completed). If the hits of a nonce would not fit, the scan ends before that nonce,
        so that the caller can continue from `nonce_start + completed` without loss or duplication. Arrays are
        C-contiguous. Raises ValueError for arguments outside these bounds.
        """
        if not 1 <= len(midstates) <= self.midstates or len(hits) < len(midstates) or midstates.shape[1] != 8:
            raise ValueError(f"{self.name}: invalid midstates {midstates.shape} or hits {hits.shape}")
        if nonce_start < 0 or nonce_count < 0 or nonce_start + nonce_count > 1 << 32 or len(tail) != 3:
            raise ValueError(f"{self.name}: invalid tail {tail.shape} or nonces {nonce_start} + {nonce_count}")
        found: tuple[int, int] = self._search(
            midstates, tail, nonce_start, nonce_count, target_word, hits, watched, seen
        )
        return found


def load_kernel(
    name: str | None = None, *, cache_dir: Path | None, report: Callable[[str], None] = lambda line: None
) -> Kernel:
    """Load the variant of that name (None: the fastest on this machine), compiling it if it is not in `cache_dir`.

    `report` gets a line whenever something takes long or a cache cannot be used. Raises ConfigError if the variant does
    not exist, EngineError if this CPU cannot run it.
    """

    def load(info: VariantInfo) -> Kernel:
        return _load(info, cache_dir, report)

    if name is not None:
        return load(choose.named_variant(name))
    best = choose_variant(load, cache_dir=cache_dir, report=report)
    try:
        return load(best)
    except EngineError as error:  # it worked when it was chosen
        report(f"{error.what}; choosing another")
        bench_out(best.name, cache_dir=cache_dir, reason=error.what)
        return load(choose_variant(load, cache_dir=cache_dir, report=report))


def _load(info: VariantInfo, cache_dir: Path | None, report: Callable[[str], None]) -> Kernel:
    functions = cache.load_functions(VARIANTS.index(info), cache_dir, report)
    _compiled_midstates[:] = [functions.midstates]
    kernel = Kernel(info.name, info.lanes, info.midstates, functions.scan)
    _check(kernel)
    return kernel


def _check(kernel: Kernel) -> None:
    """Check that the kernel finds the genesis block's nonce, so that code that fails on this CPU is not used."""
    nonce = int.from_bytes(GENESIS[76:], "little")
    hits = np.zeros((kernel.midstates, 2), np.uint32)
    found = kernel.scan(midstate(GENESIS[:64]).reshape(1, 8), tail_words(GENESIS), nonce - 40, 64, 0, hits)
    if found != (1, 64) or hits[0].tolist() != [0, nonce]:
        raise EngineError(f"kernel {kernel.name} does not find the genesis block", "choose another with --kernel")
