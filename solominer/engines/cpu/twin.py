"""The plain twin of every kernel: the same answers from `hashlib`, slowly and beyond doubt."""

from __future__ import annotations

import struct
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray


def hash_word(header: bytes) -> int:
    """The top 32 bits of an 80-byte header's hash value: bytes 28..31 of its SHA-256d, read little-endian."""
    return int.from_bytes(sha256(sha256(header).digest()).digest()[28:], "little")


def tail_words(header: bytes) -> NDArray[np.uint32]:
    """Words 0..2 of a header's second SHA-256 block (Merkle root's end, ntime, nbits), big-endian reads, shape (3,)."""
    return np.array(struct.unpack(">3I", header[64:76]), np.uint32)


def scan_headers(
    heads: list[bytes], tail: bytes, nonce_start: int, nonce_count: int, target_word: int
) -> list[tuple[int, int]]:
    """All hits, as (index of the head, nonce), in a kernel's order: by nonce, then by head.

    `heads` are the first 64 header bytes, one per rolled version; `tail` is bytes 64..75.
    The nonce is the header's nNonce: bytes 76..79, little-endian.
    """
    hits = []
    for nonce in range(nonce_start, nonce_start + nonce_count):
        end = tail + nonce.to_bytes(4, "little")
        hits += [(index, nonce) for index, head in enumerate(heads) if hash_word(head + end) <= target_word]
    return hits
