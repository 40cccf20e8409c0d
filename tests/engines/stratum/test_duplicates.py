"""Duplicates are recognized as long as the documentation says, in bounded memory."""

from __future__ import annotations

import random
import sys

from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.stratum.duplicates import Duplicates


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(1, 60)), max_size=200))
def test_as_a_set_does(shares: list[tuple[bytes, int]]) -> None:
    seen: set[tuple[bytes, int]] = set()
    duplicates = Duplicates(slots=(64, 256))
    for tip, number in shares:
        assert duplicates.is_new(tip, number.to_bytes(32, "little")) == ((tip, number) not in seen)
        seen.add((tip, number))


def test_the_last_ones_are_remembered() -> None:
    rng = random.Random(1)
    duplicates = Duplicates(slots=(64, 256, 1024))
    hashes = [rng.randbytes(32) for _ in range(10_000)]
    assert all(duplicates.is_new(b"tip", each) for each in hashes)
    assert not any(duplicates.is_new(b"tip", each) for each in hashes[-1536:])  # 3 full tables of 512
    tables = duplicates.on(b"tip").tables
    assert len(tables) == 4
    assert sum(sys.getsizeof(table.slots) for table in tables) < 4 * 1024 * 8 + 1000


def test_tips_are_apart_and_the_oldest_goes() -> None:
    duplicates = Duplicates()
    share = bytes(range(32))
    for tip in range(4):
        assert duplicates.is_new(bytes([tip]), share)
    assert not duplicates.is_new(b"\0", share)
    assert duplicates.is_new(b"\4", share)
    assert duplicates.is_new(b"\0", share)


def test_a_hash_of_zeros() -> None:
    duplicates = Duplicates()
    assert duplicates.is_new(b"", bytes(32))
    assert not duplicates.is_new(b"", bytes(32))
