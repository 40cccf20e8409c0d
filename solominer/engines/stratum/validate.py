"""Shares of one job checked in a batch by jitted code: coinbase, Merkle branch, header, targets.

The hash of the coinbase begins at a midstate behind the blocks that all miners share. `reference` does the same in
hashlib, and checks again whatever counts as a block. Importing this module imports Numba; NumPy arrays are in native
words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

import numba
import numpy as np

from solominer.engines.cpu.sha256d import IV
from solominer.engines.stratum.reference import MAX_BATCH, Checked, JobParts, ShareCandidate
from solominer.engines.stratum.sha256ir import compress_plain, compress_x86, host_has_sha

_HEAD = 28  # words of a prepared job before its branch
_ROW = Struct("<12s3I32s")
_ROW_WORDS, _RESULT_WORDS = _ROW.size // 4, 9
_RESULT = Struct("<32sI")
_U32 = numba.types.Array(numba.types.uint32, 1, "C")
_CHECK = numba.types.void(_U32, _U32, _U32, _U32, numba.types.int64)
_COMPRESS = numba.types.void(_U32, numba.types.int64, _U32, numba.types.int64)


def make_check(*, plain: bool = False, **options: Any) -> tuple[Callable[..., None], Callable[..., None]]:
    """The jitted check, and the compression of one block that it uses (see `sha256ir`). Compiling takes seconds.

    `plain` leaves the CPU's SHA instructions alone.
    """
    emit = compress_plain if plain or not host_has_sha() else compress_x86
    start = np.array(IV, np.uint32)
    pad_64 = _padding(64)
    jit = numba.njit(_COMPRESS, nogil=True, inline="never", boundscheck=False, **options)

    @jit
    def compress_at(states, state_at, blocks, block_at):  # type: ignore[no-untyped-def]
        emit(states, state_at, blocks, block_at)

    def check(job, rows, results, scratch, count):  # type: ignore[no-untyped-def]
        """Scratch: a state (8 words), a digest's or a header's block (16), the padding block (16), then the tail."""
        blocks, hole, branch = np.int64(job[8]), np.int64(job[9]), np.int64(job[10])
        tail = _HEAD + 8 * branch
        for row in range(count):
            at = row * _ROW_WORDS
            for i in range(16 * blocks):
                scratch[40 + i] = job[tail + i]
            for i in range(12):
                byte = (rows[at + (i >> 2)] >> np.uint32(8 * (i & 3))) & np.uint32(0xFF)
                place = hole + i
                scratch[40 + (place >> 2)] |= byte << np.uint32(24 - 8 * (place & 3))
            for i in range(8):
                scratch[i] = job[i]
            for block in range(blocks):
                compress_at(scratch, 0, scratch, 40 + 16 * block)
            _second(scratch)
            for level in range(branch):
                for i in range(8):
                    scratch[8 + i] = scratch[i]
                    scratch[16 + i] = job[_HEAD + 8 * level + i]
                    scratch[i] = start[i]
                compress_at(scratch, 0, scratch, 8)
                for i in range(16):
                    scratch[24 + i] = pad_64[i]
                compress_at(scratch, 0, scratch, 24)
                _second(scratch)
            # The header: version, parent, seven words of the root; then the root's last word, time, bits and nonce.
            for i in range(7):
                scratch[17 + i] = scratch[i]
            last_of_root = scratch[7]
            scratch[8] = _swap(rows[at + 3])
            for i in range(8):
                scratch[9 + i] = job[11 + i]
                scratch[i] = start[i]
            compress_at(scratch, 0, scratch, 8)
            for i in range(5, 15):
                scratch[8 + i] = np.uint32(0)
            scratch[8] = last_of_root
            scratch[9] = _swap(rows[at + 4])
            scratch[10] = job[19]
            scratch[11] = _swap(rows[at + 5])
            scratch[12] = np.uint32(0x80000000)
            scratch[23] = np.uint32(640)
            compress_at(scratch, 0, scratch, 8)
            _second(scratch)
            meets = np.uint32(0)
            if _at_most(scratch, rows, at + 6):
                meets = np.uint32(1)
            if _at_most(scratch, job, 20):
                meets |= np.uint32(2)
            for i in range(8):
                results[row * _RESULT_WORDS + i] = _swap(scratch[i])
            results[row * _RESULT_WORDS + 8] = meets

    helper = numba.njit(inline="always", boundscheck=False)

    @helper
    def _swap(x):  # type: ignore[no-untyped-def]
        high = (x << np.uint32(24)) | ((x & np.uint32(0xFF00)) << np.uint32(8))
        return np.uint32(high | ((x >> np.uint32(8)) & np.uint32(0xFF00)) | (x >> np.uint32(24)))

    @helper
    def _second(scratch):  # type: ignore[no-untyped-def]
        """The state becomes the hash of itself as a digest of 32 bytes."""
        for i in range(8):
            scratch[8 + i] = scratch[i]
            scratch[16 + i] = np.uint32(0)
            scratch[i] = start[i]
        scratch[16] = np.uint32(0x80000000)
        scratch[23] = np.uint32(256)
        compress_at(scratch, 0, scratch, 8)

    @helper
    def _at_most(scratch, target, target_at):  # type: ignore[no-untyped-def]
        """Whether the hash, as a little-endian number, is at most the target, whose words start with the lowest."""
        for i in range(7, -1, -1):
            mine, limit = _swap(scratch[i]), target[target_at + i]
            if mine != limit:
                return mine < limit
        return True

    return numba.njit(_CHECK, nogil=True, boundscheck=False, **options)(check), compress_at


def _padding(size: int) -> Any:
    """The block that ends a message of `size` bytes, a multiple of 64."""
    return np.array([0x80000000, *[0] * 13, 0, 8 * size], np.uint32)


class Validator:
    """Checks shares with the jitted function. One per thread: it works in memory of its own."""

    def __init__(self, *, plain: bool = False, **options: Any) -> None:
        self.jitted_check, self._compress = make_check(plain=plain, **options)
        self._rows = bytearray(MAX_BATCH * _ROW.size)
        self._rows_words = np.frombuffer(self._rows, np.uint32)
        self._results = bytearray(MAX_BATCH * _RESULT.size)
        self._results_words = np.frombuffer(self._results, np.uint32)
        self._scratch = np.zeros(40 + 16 * 8, np.uint32)

    def prepare(self, parts: JobParts) -> Any:
        """What `check` needs of a job, computed once. Any object that it returns can be kept with the job."""
        whole = len(parts.prefix) // 64
        tail = parts.prefix[64 * whole :] + bytes(parts.extranonce_size) + parts.suffix
        size = len(parts.prefix) + parts.extranonce_size + len(parts.suffix)
        tail += b"\x80" + bytes((55 - len(tail)) % 64) + (8 * size).to_bytes(8, "big")
        head = [
            *self._midstate(parts.prefix[: 64 * whole]),
            len(tail) // 64,
            len(parts.prefix) - 64 * whole,
            len(parts.branch),
            *_words(parts.prevhash_le),
            int.from_bytes(parts.nbits.to_bytes(4, "little"), "big"),
            *_words(parts.target.to_bytes(32, "little"), "little"),
        ]
        return np.array([*head, *_words(b"".join(parts.branch)), *_words(tail)], np.uint32)

    def _midstate(self, blocks: bytes) -> Any:
        """SHA-256's state after whole blocks, which hashlib does not show."""
        state, words = np.array(IV, np.uint32), _words(blocks)
        for at in range(0, len(words), 16):
            self._compress(state, 0, words, at)
        return state

    def scratch_for(self, prepared: Any) -> Any:
        """Memory in which the jitted check works on this job."""
        needed = 40 + 16 * int(prepared[8])
        if needed > len(self._scratch):
            self._scratch = np.zeros(needed, np.uint32)
        return self._scratch

    def check(self, prepared: Any, shares: Sequence[ShareCandidate]) -> list[Checked]:
        """The hash of each share of the prepared job and what it meets, in order."""
        scratch = self.scratch_for(prepared)
        checked: list[Checked] = []
        for start in range(0, len(shares), MAX_BATCH):
            batch = shares[start : start + MAX_BATCH]
            for index, (extranonce, version, ntime, nonce, target) in enumerate(batch):
                _ROW.pack_into(
                    self._rows, index * _ROW.size, extranonce, version, ntime, nonce, target.to_bytes(32, "little")
                )
            self.jitted_check(prepared, self._rows_words, self._results_words, scratch, len(batch))
            results = memoryview(self._results)[: len(batch) * _RESULT.size]
            checked += map(Checked._make, _RESULT.iter_unpack(results))
        return checked


def _words(data: bytes, order: str = "big") -> Any:
    return np.frombuffer(data, np.dtype(">u4" if order == "big" else "<u4")).astype(np.uint32)
