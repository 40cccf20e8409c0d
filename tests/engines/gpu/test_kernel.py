"""Every variant, run by PoCL, finds what hashlib finds: on real headers, random ones, at every edge."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from solominer.engines.cpu.reference import hash_word, scan_headers
from solominer.engines.gpu.kernel import Batch, GpuKernel, TooManyHits
from solominer.engines.gpu.source import ROOM
from tests.engines.gpu.pocl import NAMES, batch, kernel

HEADERS = json.loads((Path(__file__).parents[2] / "vectors" / "headers.json").read_text())
REAL = [(entry["name"], bytes.fromhex(entry["header_hex"])) for entry in HEADERS]
VERSION_MASK = 0x1FFFE000  # BIP 320

every_variant = pytest.mark.parametrize("name", NAMES)


def found(this: GpuKernel, work: Batch) -> list[tuple[int, int]]:
    """The hits of one launch."""
    return [(index, nonce) for index, nonce in this.launch(work).hits().tolist()]


def nonce_of(header: bytes) -> int:
    return int.from_bytes(header[76:], "little")


@every_variant
def test_finds_the_nonce_of_every_real_header_and_nothing_else(name: str) -> None:
    this = kernel(name)
    for entry, header in REAL:
        start = nonce_of(header) - nonce_of(header) % this.group_nonces
        args = [header[:64]], header[64:76], start, this.group_nonces, hash_word(header)
        hits = found(this, batch(args[0], args[1], [start], *args[3:]))
        assert (0, nonce_of(header)) in hits, entry
        assert hits == scan_headers(*args), entry


@every_variant
def test_equals_hashlib_on_random_headers_and_targets(name: str) -> None:
    """More than 100,000 random headers for each variant, under targets from almost none to all."""
    this, chance, headers = kernel(name), random.Random(name), 0
    while headers < 100_000:
        heads = [chance.randbytes(64) for _ in range(chance.randint(1, this.midstates))]
        size = this.group_nonces * chance.randint(1, 3)
        count = chance.randint(1, 1 + 8000 // (len(heads) * size))
        starts = [chance.choice([0, chance.randrange(2**32 - size), 2**32 - size]) for _ in range(count)]
        tail, target_word = chance.randbytes(12), chance.getrandbits(chance.randint(20, 32))
        expected = [hit for start in starts for hit in scan_headers(heads, tail, start, size, target_word)]
        work = batch(heads, tail, starts, size, target_word)
        if len(expected) > ROOM:
            with pytest.raises(TooManyHits):
                found(this, work)
        else:
            assert found(this, work) == sorted(expected, key=lambda hit: hit[::-1])
        headers += len(heads) * size * count


@every_variant
@pytest.mark.parametrize("start", ["first", "last"])
def test_enumerates_every_nonce_where_all_hit(name: str, start: str) -> None:
    """Target 0xffffffff: the hits are the whole range, also at nonce 0 and 2**32 - 1."""
    this = kernel(name)
    for count in {1, min(3, this.midstates), this.midstates}:
        size = this.group_nonces * max(1, ROOM // (count * this.group_nonces) // 4)
        if size * count > ROOM:
            continue
        first = 0 if start == "first" else 2**32 - size
        hits = found(this, batch([bytes([n]) * 64 for n in range(count)], bytes(12), [first], size, 0xFFFFFFFF))
        assert hits == [(index, nonce) for nonce in range(first, first + size) for index in range(count)]


@every_variant
def test_rolled_versions_are_told_apart(name: str) -> None:
    """Each bit of the BIP 320 mask alone and all together, on a real header: the hit names the right version."""
    this, header = kernel(name), dict(REAL)["170"]
    bits = [1 << bit for bit in range(32) if VERSION_MASK >> bit & 1] + [VERSION_MASK, 0]
    start = nonce_of(header) - nonce_of(header) % this.group_nonces
    for first in range(0, len(bits), this.midstates):
        versions = [int.from_bytes(header[:4], "little") ^ bit for bit in bits[first : first + this.midstates]]
        heads = [version.to_bytes(4, "little") + header[4:64] for version in versions]
        hits = found(this, batch(heads, header[64:76], [start], this.group_nonces, 1 << 26))
        assert hits == scan_headers(heads, header[64:76], start, this.group_nonces, 1 << 26)
        if 0 in bits[first : first + this.midstates]:
            assert (bits.index(0) - first, nonce_of(header)) in hits


@every_variant
def test_two_launches_in_flight_do_not_mix(name: str) -> None:
    """Each has its own midstates, tail, chunks and hits, whatever the order in which they are read."""
    this, size = kernel(name), kernel(name).group_nonces
    for turn in range(6):
        works = [([bytes([turn, side]) * 32], bytes([side]) * 12, 1000 * turn, size, 1 << 28) for side in range(2)]
        launches = [this.launch(batch(heads, tail, [start], *rest)) for heads, tail, start, *rest in works]
        for side in (1, 0) if turn % 2 else (0, 1):
            hits = [(index, nonce) for index, nonce in launches[side].hits().tolist()]
            assert hits == scan_headers(*works[side])
            assert launches[side].done


def test_a_third_launch_is_refused_until_hits_are_read() -> None:
    this = kernel(NAMES[0])
    work = batch([bytes(64)], bytes(12), [0], this.group_nonces, 0)
    launches = [this.launch(work), this.launch(work)]
    with pytest.raises(ValueError, match="in flight"):
        this.launch(work)
    launches[0].hits()
    launches.append(this.launch(work))
    with pytest.raises(ValueError, match="in flight"):
        this.launch(work)
    for each in launches:
        assert each.hits().shape == (0, 2)
        assert each.hits().shape == (0, 2)  # a second time


def test_too_many_hits_are_said_and_the_next_launch_is_right() -> None:
    this = kernel(NAMES[0])
    chunks = [number * this.group_nonces for number in range(1 + ROOM // this.group_nonces)]
    for _ in range(3):
        launch = this.launch(batch([bytes(64)], bytes(12), chunks, this.group_nonces, 0xFFFFFFFF))
        for _ in range(2):
            with pytest.raises(TooManyHits, match=str(ROOM)):
                launch.hits()
    assert len(this.free) == 2
    assert len(found(this, batch([bytes(64)], bytes(12), chunks[:-1], this.group_nonces, 0xFFFFFFFF))) == ROOM


def test_a_changed_array_of_the_caller_changes_no_launch() -> None:
    this = kernel(NAMES[0])
    work = batch([bytes(64)], bytes(12), [0], this.group_nonces, 1 << 28)
    launch = this.launch(work)
    work.chunks[:] = 5
    work.midstates[:] = 0
    work.tail[:] = 9
    hits = [(index, nonce) for index, nonce in launch.hits().tolist()]
    assert hits == scan_headers([bytes(64)], bytes(12), 0, this.group_nonces, 1 << 28)


def test_refuses_what_is_no_batch() -> None:
    this = kernel(NAMES[0])
    size, one, tail, chunks = this.group_nonces, np.zeros((1, 8), np.uint32), np.zeros(3, np.uint32), [0]
    for midstates, words, starts, nonces, target_word in (
        (one[:0], tail, chunks, size, 0),
        (np.zeros((this.midstates + 1, 8), np.uint32), tail, chunks, size, 0),
        (np.zeros((1, 7), np.uint32), tail, chunks, size, 0),
        (one, tail[:2], chunks, size, 0),
        (one, tail, [], size, 0),
        (one, tail, [0] * 65536, size, 0),
        (one, tail, chunks, 0, 0),
        (one, tail, chunks, size + 1, 0),
        (one, tail, [2**32 - size + 1], size, 0),
        (one, tail, chunks, size, 1 << 32),
        (one, tail, chunks, size, -1),
    ):
        with pytest.raises(ValueError, match=this.name):
            this.launch(Batch(midstates, words, np.array(starts, np.uint32), nonces, target_word))
