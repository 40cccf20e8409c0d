"""The compiled check agrees with hashlib on every share: hash, share target, network target.

SOLOMINER_VALIDATE_CASES sets the number of random shares, 100,000 if it is not set.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from solominer.chain.hashes import hash_to_int
from solominer.config.paths import default_cache_dir
from solominer.engines.cpu import cache
from solominer.engines.stratum.compile import object_file
from solominer.engines.stratum.native import OBJECT_FILE, Native
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
from solominer.engines.stratum.validate import Validator, folder_of, load_validator

CASES = int(os.environ.get("SOLOMINER_VALIDATE_CASES", "100000"))


@pytest.fixture(scope="module")
def native() -> Validator:
    validator = load_validator(default_cache_dir(), print)
    assert validator is not None
    return validator


def copied(tmp_path: Path) -> Path:
    """A cache with the compiled check in it; where its object file is."""
    assert load_validator(default_cache_dir(), print) is not None
    whole = folder_of(default_cache_dir())
    shutil.copytree(whole, tmp_path / "kernels" / whole.name)
    (tmp_path / "kernels").chmod(0o700)
    return folder_of(tmp_path) / "shares" / OBJECT_FILE


def torn(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def writable_by_all(path: Path) -> None:
    path.chmod(0o666)


def test_what_is_in_the_cache_is_not_compiled_again(tmp_path: Path) -> None:
    copied(tmp_path)
    lines: list[str] = []
    assert load_validator(tmp_path, lines.append) is not None
    assert lines == []


@pytest.mark.parametrize("damage", [torn, writable_by_all])
def test_a_damaged_or_foreign_file_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    path, lines = copied(tmp_path), list[str]()
    whole = path.parent.with_name("whole")
    shutil.copytree(path.parent, whole)
    damage(path)

    def build(what: object, folder: Path) -> None:
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)

    monkeypatch.setattr(cache, "_build", build)
    assert load_validator(tmp_path, lines.append) is not None
    assert "compiled kernel shares discarded" in lines[0]


def test_code_that_disagrees_with_hashlib_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(tmp_path)
    monkeypatch.setattr(cache, "_build", lambda what, folder: None)
    monkeypatch.setattr(HashlibValidator, "check", lambda self, prepared, shares: [])
    lines: list[str] = []
    assert load_validator(tmp_path, lines.append) is None
    assert any("cannot be loaded" in line for line in lines)


def test_without_a_compiler_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes on with hashlib then."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    lines: list[str] = []
    assert load_validator(tmp_path, lines.append) is None
    assert any("compiler exited with code 1" in line for line in lines)


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
        prepared = native.prepare(parts)
        assert native.check(prepared, shares) == expected
        root = reference.root(parts, shares[0].extranonce)
        assert native.root(prepared, shares[0].extranonce) == root
        assert native.check(native.with_root(prepared, root), shares[:1]) == expected[:1]
        for each in expected:
            seen[each.meets] = seen.get(each.meets, 0) + 1
    assert len(seen) == 4


def test_without_sha_instructions() -> None:
    """The code for a CPU that has none; on other machines both tests run the same."""
    rng, reference, plain = random.Random(21), HashlibValidator(), Validator(Native(object_file(plain=True)))
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
