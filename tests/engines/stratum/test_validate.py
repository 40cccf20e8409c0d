"""The jitted check agrees with hashlib on every share: hash, share target, network target.

SOLOMINER_VALIDATE_CASES sets the number of random shares, 100,000 if it is not set.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from solominer.chain.hashes import hash_to_int
from solominer.engines.stratum.reference import (
    BLOCK,
    MAX_BATCH,
    NOTHING,
    SHARE,
    HashlibValidator,
    JobParts,
    ShareCandidate,
)
from solominer.engines.stratum.sha256ir import host_has_sha
from solominer.engines.stratum.validate import Validator

CASES = int(os.environ.get("SOLOMINER_VALIDATE_CASES", "100000"))


@pytest.fixture(scope="module")
def native() -> Validator:
    return Validator()


def random_parts(rng: random.Random, prefix: int, suffix: int, branch: int) -> JobParts:
    return JobParts(
        prefix=rng.randbytes(prefix),
        suffix=rng.randbytes(suffix),
        extranonce_size=12,
        branch=tuple(rng.randbytes(32) for _ in range(branch)),
        prevhash_le=rng.randbytes(32),
        nbits=rng.getrandbits(32),
        target=rng.getrandbits(256) >> rng.choice((0, 0, 1, 8)),
    )


def random_shares(rng: random.Random, count: int) -> list[ShareCandidate]:
    return [
        ShareCandidate(
            extranonce=rng.randbytes(12),
            version=rng.getrandbits(32),
            ntime=rng.getrandbits(32),
            nonce=rng.getrandbits(32),
            target=rng.getrandbits(rng.choice((254, 256))),
        )
        for _ in range(count)
    ]


def test_random_shares(native: Validator) -> None:
    rng, reference = random.Random(20), HashlibValidator()
    seen: dict[int, int] = {}
    for _ in range(CASES // 500):
        parts = random_parts(rng, rng.randrange(300), rng.randrange(400), rng.randrange(15))
        shares = random_shares(rng, 500)
        expected = reference.check(parts, shares)
        assert native.check(native.prepare(parts), shares) == expected
        for each in expected:
            seen[each.meets] = seen.get(each.meets, 0) + 1
    assert len(seen) == 4


def test_without_sha_instructions() -> None:
    """The code for a CPU that has none; on other machines both tests run the same."""
    rng, reference, plain = random.Random(21), HashlibValidator(), Validator(plain=True)
    for _ in range(10):
        parts = random_parts(rng, rng.randrange(300), rng.randrange(400), rng.randrange(15))
        shares = random_shares(rng, 50)
        assert plain.check(plain.prepare(parts), shares) == reference.check(parts, shares)
    assert isinstance(host_has_sha(), bool)


@pytest.mark.parametrize("prefix", [0, 1, 41, 51, 52, 53, 63, 64, 65, 127, 128])
def test_every_place_of_the_extranonce(native: Validator, prefix: int) -> None:
    """Across words and blocks, and paddings that just fit a block or just do not."""
    rng, reference = random.Random(prefix), HashlibValidator()
    for suffix in range(130):
        parts = random_parts(rng, prefix, suffix, suffix % 3)
        shares = random_shares(rng, 1)
        assert native.check(native.prepare(parts), shares) == reference.check(parts, shares)


def test_a_large_coinbase(native: Validator) -> None:
    rng, reference = random.Random(3), HashlibValidator()
    parts = random_parts(rng, 60, 16_000, 12)
    shares = random_shares(rng, 3)
    assert native.check(native.prepare(parts), shares) == reference.check(parts, shares)


def test_targets_at_the_edge(native: Validator) -> None:
    rng = random.Random(4)
    parts = random_parts(rng, 60, 100, 4)
    (share,) = random_shares(rng, 1)
    value = hash_to_int(HashlibValidator().check(parts, [share])[0].hash_le)
    for target, meets in ((value - 1, NOTHING), (value, SHARE), (value + 1, SHARE)):
        hard = replace(parts, target=value - 1)
        assert native.check(native.prepare(hard), [share._replace(target=target)])[0].meets == meets
        easy = replace(parts, target=value)
        assert native.check(native.prepare(easy), [share._replace(target=target)])[0].meets == meets | BLOCK


def test_more_than_one_batch(native: Validator) -> None:
    rng, reference = random.Random(5), HashlibValidator()
    parts = random_parts(rng, 60, 100, 2)
    for count in (0, MAX_BATCH - 1, MAX_BATCH, MAX_BATCH + 1, 3 * MAX_BATCH):
        shares = random_shares(rng, count)
        assert native.check(native.prepare(parts), shares) == reference.check(parts, shares)
