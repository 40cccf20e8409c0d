"""Midstates: the plain one equals the general description of SHA-256, and gives a real block's hash."""

from __future__ import annotations

import struct
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.cpu.reference import midstate
from solominer.engines.sha256.sha256d import IV, compress
from solominer.engines.sha256.words import Integers


@given(st.binary(min_size=64, max_size=64))
def test_it_equals_the_general_description(block: bytes) -> None:
    assert midstate(block).tolist() == compress(Integers(), IV, struct.unpack(">16I", block))


def test_it_is_sha256s_own_state() -> None:
    padded = b"abc" + b"\x80" + bytes(52) + (24).to_bytes(8, "big")  # one whole block: its midstate is the digest
    assert midstate(padded).astype(">u4").tobytes() == sha256(b"abc").digest()
