"""Reference implementations for the kernels: midstates in plain integers, scans with `hashlib`.

`sha256d` also computes midstates on integers but takes 1.5 ms. A new job needs one per rolled version before its first
hash, so this one is written out, which is a dozen times as fast.
"""

from __future__ import annotations

import struct
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from solominer.engines.sha256.sha256d import IV, K

_MASK = 0xFFFFFFFF
_BLOCK = struct.Struct(">16I")

GENESIS = bytes.fromhex(
    "01000000" + "00" * 32 + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
"""The genesis block's header, which every kernel must find before it is used."""


def midstate(header64: bytes) -> NDArray[np.uint32]:
    """The eight words after one compression of 64 bytes, shape (8,) (FIPS 180-4, section 6.2.2)."""
    a, b, c, d, e, f, g, h = IV
    for kw in _schedule(header64):
        # A rotation is a shift of two copies side by side; the bits above 32 are masked off once, at the end.
        ee, aa = e << 32 | e, a << 32 | a
        t1 = h + kw + (g ^ e & (f ^ g)) + ((ee >> 6 ^ ee >> 11 ^ ee >> 25) & _MASK)
        t2 = (a & b | c & (a | b)) + ((aa >> 2 ^ aa >> 13 ^ aa >> 22) & _MASK)
        a, b, c, d, e, f, g, h = t1 + t2 & _MASK, a, b, c, d + t1 & _MASK, e, f, g
    return np.array([x + y & _MASK for x, y in zip(IV, (a, b, c, d, e, f, g, h), strict=True)], np.uint32)


def _schedule(header64: bytes) -> list[int]:
    """The sums K + W of the 64 rounds, not reduced."""
    w = list(_BLOCK.unpack(header64))
    for t in range(16, 64):
        x, y = w[t - 15], w[t - 2]
        xx, yy = x << 32 | x, y << 32 | y
        sigma0 = (xx >> 7 ^ xx >> 18 ^ x >> 3) & _MASK
        sigma1 = (yy >> 17 ^ yy >> 19 ^ y >> 10) & _MASK
        w.append(w[t - 16] + sigma0 + w[t - 7] + sigma1 & _MASK)
    return [k + word for k, word in zip(K, w, strict=True)]


def hash_word(header: bytes) -> int:
    """The top 32 bits of an 80-byte header's hash value: bytes 28..31 of its SHA-256d, read little-endian."""
    return int.from_bytes(sha256(sha256(header).digest()).digest()[28:], "little")


def tail_words(header: bytes) -> NDArray[np.uint32]:
    """Words 0..2 of a header's second SHA-256 block (Merkle root's end, ntime, nbits), big-endian reads, shape (3,)."""
    return np.array(struct.unpack(">3I", header[64:76]), np.uint32)


def scan_headers(
    heads: list[bytes], tail: bytes, nonce_start: int, nonce_count: int, target_word: int
) -> list[tuple[int, int]]:
    """All hits as (index of the head, nonce), in a kernel's order: by nonce, then by head.

    `heads`: the first 64 header bytes, one per rolled version; `tail`: bytes 64..75. The nonce is the header's nNonce
    (bytes 76..79, little-endian).
    """
    hits = []
    for nonce in range(nonce_start, nonce_start + nonce_count):
        end = tail + nonce.to_bytes(4, "little")
        hits += [(index, nonce) for index, head in enumerate(heads) if hash_word(head + end) <= target_word]
    return hits
