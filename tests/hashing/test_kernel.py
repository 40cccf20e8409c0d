"""Every variant that this CPU can run equals the hashlib reference: on real headers, on random ones, at every edge.

The reference hashes whole headers with hashlib; kernels get midstates. Compiled kernels are kept in .cache, so that
only the first run compiles them.
"""

from __future__ import annotations

import json
import random
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.engines.cpu.kernel import load_kernel, midstate
from solominer.engines.cpu.reference import hash_word, scan_headers, tail_words
from solominer.errors import ConfigError
from tests.hashing.kernels import CACHE, NAMES, kernel, scan_all

HEADERS = json.loads((Path(__file__).parents[1] / "vectors" / "headers.json").read_text())
REAL = [(entry["name"], bytes.fromhex(entry["header_hex"])) for entry in HEADERS]
VERSION_MASK = 0x1FFFE000  # BIP 320

every_variant = pytest.mark.parametrize("name", NAMES)


def nonce_of(header: bytes) -> int:
    return int.from_bytes(header[76:], "little")


@every_variant
def test_finds_the_nonce_of_every_real_header_and_nothing_else(name: str) -> None:
    for entry, header in REAL:
        nonce, lanes = nonce_of(header), kernel(name).lanes
        start = max(0, nonce - 2 * lanes - 3)
        count = min(start + 5 * lanes + 9, 1 << 32) - start
        args = [header[:64]], header[64:76], start, count, hash_word(header)
        hits = scan_all(name, *args)
        assert (0, nonce) in hits, entry
        assert hits == scan_headers(*args), entry


@every_variant
def test_equals_the_twin_on_random_headers_and_targets(name: str) -> None:
    """More than 100,000 random headers for each variant, under targets from almost none to all."""
    chance = random.Random(name)
    headers = 0
    while headers < 100_000:
        heads = [chance.randbytes(64) for _ in range(chance.randint(1, kernel(name).midstates))]
        count = chance.randint(1, 6 * kernel(name).lanes + 50)
        start = chance.choice([0, chance.randrange(2**32 - count), 2**32 - count])
        target_word = chance.getrandbits(chance.randint(16, 32))
        args = heads, chance.randbytes(12), start, count, target_word
        assert scan_all(name, *args, room=chance.choice([24, 100, 4096])) == scan_headers(*args)
        headers += len(heads) * count


@every_variant
@pytest.mark.parametrize("start", ["first", "last"])
def test_enumerates_every_nonce_where_all_hit(name: str, start: str) -> None:
    """Target 0xffffffff: the hits are the whole range, also at nonce 0 and 2**32 - 1 and at all edges of a block."""
    lanes = kernel(name).lanes
    for midstates in {1, 2, 3, kernel(name).midstates} & set(range(1, kernel(name).midstates + 1)):
        for count in {0, 1, 2, lanes - 1, lanes, lanes + 1, 2 * lanes, 3 * lanes + 1}:
            first = 0 if start == "first" else 2**32 - count
            hits = scan_all(name, [bytes([n]) * 64 for n in range(midstates)], bytes(12), first, count, 0xFFFFFFFF)
            assert hits == [(index, nonce) for nonce in range(first, first + count) for index in range(midstates)]


@every_variant
def test_a_hit_is_found_in_every_lane_and_for_every_midstate(name: str) -> None:
    """One hit at a time: the target is the lowest hash of a block, moved through all lanes by the block's start."""
    heads = [bytes([n, 1]) * 32 for n in range(kernel(name).midstates)]
    lanes = kernel(name).lanes
    words = {
        (index, nonce): hash_word(head + bytes(12) + nonce.to_bytes(4, "little"))
        for nonce in range(1000, 1000 + 2 * lanes)
        for index, head in enumerate(heads)
    }
    for index in range(len(heads)):
        (best, nonce) = min((word, n) for (i, n), word in words.items() if i == index and n < 1000 + lanes)
        for start in range(nonce - lanes + 1, nonce + 1):
            assert (0, nonce) in scan_all(name, heads[index : index + 1], bytes(12), start, lanes, best)
    (lowest, (index, nonce)) = min((word, place) for place, word in words.items())
    assert scan_all(name, heads, bytes(12), 1000, 2 * lanes, lowest) == [(index, nonce)]


@every_variant
def test_rolled_versions_are_told_apart(name: str) -> None:
    """Each bit of the BIP 320 mask alone and all together, on a real header: the hit names the right version."""
    header = dict(REAL)["170"]
    bits = [1 << bit for bit in range(32) if VERSION_MASK >> bit & 1] + [VERSION_MASK, 0]
    most = kernel(name).midstates
    for first in range(0, len(bits), most):
        versions = [int.from_bytes(header[:4], "little") ^ bit for bit in bits[first : first + most]]
        heads = [version.to_bytes(4, "little") + header[4:64] for version in versions]
        args = heads, header[64:76], nonce_of(header) - 20, 64, 1 << 26
        assert scan_all(name, *args) == scan_headers(*args)
        if 0 in bits[first : first + most]:
            assert (bits.index(0) - first, nonce_of(header)) in scan_all(name, *args)


@every_variant
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_nonce_is_lost_or_doubled(name: str, data: st.DataObject) -> None:
    """Any cut of a range into slices, any room for hits: together they give what one look at the range gives."""
    heads = [bytes([n, 7]) * 32 for n in range(data.draw(st.integers(1, kernel(name).midstates)))]
    start = data.draw(st.one_of(st.just(0), st.integers(0, 2**32 - 200), st.just(2**32 - 150)))
    cuts = data.draw(st.lists(st.integers(0, 150), max_size=4))
    edges = sorted({0, *cuts, 150})
    target_word = data.draw(st.sampled_from([0, 1 << 24, 1 << 28, 0x7FFFFFFF, 0xFFFFFFFF]))
    room = data.draw(st.integers(1, 60))
    pieces = [
        hit
        for low, high in pairwise(edges)
        for hit in scan_all(name, heads, b"abcdefghijkl", start + low, high - low, target_word, room)
    ]
    assert pieces == scan_headers(heads, b"abcdefghijkl", start, 150, target_word)


@every_variant
def test_stops_before_the_nonce_whose_hits_do_not_fit(name: str) -> None:
    midstates = np.array([midstate(bytes([n]) * 64) for n in range(min(3, kernel(name).midstates))])
    m = len(midstates)
    hits = np.zeros((4 * m + m - 1, 2), np.uint32)
    assert kernel(name).scan(midstates, np.zeros(3, np.uint32), 7, 1000, 0xFFFFFFFF, hits) == (4 * m, 4)


@every_variant
def test_ends_behind_the_block_at_hand_when_the_watched_word_has_changed(name: str) -> None:
    this, midstates = kernel(name), np.array([midstate(bytes(64))])
    watched, hits = np.array([5], np.uint64), np.zeros((64, 2), np.uint32)
    assert this.scan(midstates, np.zeros(3, np.uint32), 7, 1000, 0, hits, watched, 4) == (0, this.lanes)
    assert this.scan(midstates, np.zeros(3, np.uint32), 7, 1000, 0, hits, watched, 5) == (0, 1000)


@every_variant
def test_sees_a_change_that_comes_while_it_searches(name: str) -> None:
    this, midstates = kernel(name), np.array([midstate(bytes(64))])
    watched, hits = np.zeros(1, np.uint64), np.zeros((64, 2), np.uint32)
    change = threading.Timer(0.02, watched.fill, [1])
    change.start()
    found, done = this.scan(midstates, np.zeros(3, np.uint32), 0, 1 << 28, 0, hits, watched, 0)
    change.join()
    assert 0 < done < 1 << 28
    assert done % this.lanes == 0
    assert found <= 64


def test_refuses_what_is_no_search() -> None:
    scan = kernel(NAMES[0]).scan
    one, tail, hits = np.zeros((1, 8), np.uint32), np.zeros(3, np.uint32), np.zeros((64, 2), np.uint32)
    many = np.zeros((kernel(NAMES[0]).midstates + 1, 8), np.uint32)
    for midstates, start, count, room in (
        (many, 0, 1, hits),
        (one[:0], 0, 1, hits),
        (one, -1, 1, hits),
        (one, 0, -1, hits),
        (one, 2**32, 1, hits),
        (one, 5, 2**32, hits),
        (one, 0, 1, hits[:0]),
    ):
        with pytest.raises(ValueError, match=NAMES[0]):
            scan(midstates, tail, start, count, 0, room)
    with pytest.raises(ValueError, match=NAMES[0]):
        scan(one, tail[:2], 0, 1, 0, hits)


def test_lets_other_threads_run() -> None:
    """The GIL is free while a kernel works: the main thread goes on counting beside it."""
    midstates = np.zeros((kernel("scalar").midstates, 8), np.uint32)
    args = midstates, np.zeros(3, np.uint32), 0, 20_000, 0, np.zeros((64, 2), np.uint32)
    thread = threading.Thread(target=kernel("scalar").scan, args=args)
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
    assert turns > 100


def test_midstates_are_the_same_before_and_after_a_kernel_is_there() -> None:
    from solominer.engines.cpu.reference import midstate as plain

    kernel("scalar")
    for seed in range(50):
        head = random.Random(seed).randbytes(64)
        assert midstate(head).tolist() == plain(head).tolist()


def test_unknown_kernels_are_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no such kernel") as caught:
        load_kernel("avx9000", cache_dir=CACHE)
    assert "scalar" in caught.value.todo


def test_tail_words_are_big_endian_reads() -> None:
    assert tail_words(bytes(64) + bytes(range(16))).tolist() == [0x00010203, 0x04050607, 0x08090A0B]
