"""Shares of one job checked in a batch by compiled code (`native`), which `reference` does in hashlib."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from struct import Struct, unpack

from solominer.engines.cpu.cache import Compiled, Report, load_compiled
from solominer.engines.cpu.machine import this_machine
from solominer.engines.sha256.sha256d import IV
from solominer.engines.stratum.native import (
    JOB_HEAD,
    OBJECT_FILE,
    RESULT_WORDS,
    SCRATCH_HEAD,
    SHARE_WORDS,
    Native,
    address,
)
from solominer.engines.stratum.reference import MAX_BATCH, Checked, HashlibValidator, JobParts, ShareCandidate

_SOURCES = ("compile", "jit_read", "jit_shares", "messages", "native", "reference", "sha256ir")
_SAMPLES = [  # the extranonce at each place of a block, and branches of every length
    JobParts(bytes(range(100 + n)), bytes(60), 12, n % 15 * (bytes(32),), bytes(32), 0x1D00FFFF, 1 << 255)
    for n in range(64)
]
_SAMPLE_SHARES = [ShareCandidate(bytes(range(12)), 1, 2, nonce, 1 << 254) for nonce in range(2)]

_SHARE = Struct("<12s3I32s")
_RESULT = Struct("<32sI")
_EXTRANONCE, _ROOT = Struct("12s"), Struct("32s")


class Prepared:
    """What the compiled code needs of a job: its words, and memory in which it works on them."""

    __slots__ = ("address", "scratch", "scratch_at", "words")

    def __init__(self, words: array[int], scratch: array[int]) -> None:
        self.words, self.scratch = words, scratch
        self.address, self.scratch_at = address(words), address(scratch)


class Validator:
    """Checks shares with the compiled function. One per thread: it works in memory of its own."""

    def __init__(self, native: Native) -> None:
        self.native = native
        self.shares = array("I", [0]) * (MAX_BATCH * SHARE_WORDS)
        self.results = array("I", [0]) * (MAX_BATCH * RESULT_WORDS)
        self.shares_at, self.results_at = address(self.shares), address(self.results)
        self._scratch = array("I")

    def prepare(self, parts: JobParts) -> Prepared:
        """What `check` needs of a job, computed once. Any object that it returns can be kept with the job."""
        whole = len(parts.prefix) // 64
        tail = parts.prefix[64 * whole :] + bytes(parts.extranonce_size) + parts.suffix
        size = len(parts.prefix) + parts.extranonce_size + len(parts.suffix)
        tail += b"\x80" + bytes((55 - len(tail)) % 64) + (8 * size).to_bytes(8, "big")
        words = array("I", self._midstate(parts.prefix[: 64 * whole]))
        words.extend((len(tail) // 64, len(parts.prefix) - 64 * whole, len(parts.branch)))
        words.extend(_words(parts.prevhash_le))
        words.append(int.from_bytes(parts.nbits.to_bytes(4, "little"), "big"))
        words.extend(unpack("<8I", parts.target.to_bytes(32, "little")))
        words.extend(_words(b"".join(parts.branch) + tail))
        needed = SCRATCH_HEAD + len(tail) // 4
        if needed > len(self._scratch):
            self._scratch = array("I", [0]) * needed
        return Prepared(words, self._scratch)

    def root(self, prepared: Prepared, extranonce: bytes) -> bytes:
        """The Merkle root of the prepared job with this extranonce, 32 bytes in internal order."""
        _EXTRANONCE.pack_into(self.shares, 0, extranonce)
        self.native.root(prepared.address, address(self.shares), address(self.results), address(prepared.scratch), 0, 1)
        root: bytes = _ROOT.unpack_from(self.results)[0]
        return root

    def with_root(self, prepared: Prepared, root: bytes) -> Prepared:
        """The prepared job where its Merkle root is known: its shares need no coinbase."""
        words = array("I", _words(root))
        words.extend((0, 0, 0))
        words.extend(prepared.words[len(words) : JOB_HEAD])
        return Prepared(words, prepared.scratch)

    def _midstate(self, blocks: bytes) -> array[int]:
        """SHA-256's state after whole blocks, which hashlib does not show."""
        state, words = array("I", IV), array("I", _words(blocks))
        for at in range(0, len(words), 16):
            self.native.compress(address(state), 0, address(words), at)
        return state

    def check(self, prepared: Prepared, shares: Sequence[ShareCandidate]) -> list[Checked]:
        """The hash of each share of the prepared job and what it meets, in order."""
        checked: list[Checked] = []
        for start in range(0, len(shares), MAX_BATCH):
            batch = shares[start : start + MAX_BATCH]
            for index, (extranonce, version, ntime, nonce, target) in enumerate(batch):
                target_le = target.to_bytes(32, "little")
                _SHARE.pack_into(self.shares, index * _SHARE.size, extranonce, version, ntime, nonce, target_le)
            self.native.check(prepared.address, self.shares_at, self.results_at, prepared.scratch_at, 0, len(batch))
            results = memoryview(self.results).cast("B")[: len(batch) * _RESULT.size]
            checked += map(Checked._make, _RESULT.iter_unpack(results))
        return checked


def _words(data: bytes) -> tuple[int, ...]:
    return unpack(f">{len(data) // 4}I", data)


def folder_of(cache_dir: Path) -> Path:
    """Where the compiled code of these sources for this machine is kept."""
    here = Path(__file__).parent
    sources = b"".join((here / f"{name}.py").read_bytes() for name in _SOURCES)
    key = hashlib.sha256(this_machine().key.encode() + sources).hexdigest()[:16]
    return cache_dir / "kernels" / f"stratum-{key}"


def load_validator(cache_dir: Path | None, report: Report) -> Validator | None:
    """With the compiled code in `cache_dir` if it is intact there, else compiled now; None if it cannot be had."""
    what = Compiled("shares", ("solominer.engines.stratum.compile",), _load)
    return load_compiled(what, folder_of(cache_dir) if cache_dir else None, report)


def _load(folder: Path) -> Validator | None:
    """None if the file is missing or disagrees with hashlib; the manifest has said that it is whole."""
    try:
        validator = Validator(Native((folder / OBJECT_FILE).read_bytes()))
    except (OSError, RuntimeError):
        return None
    return validator if all(_agrees(validator, parts) for parts in _SAMPLES) else None


def _agrees(validator: Validator, parts: JobParts) -> bool:
    """Whether it says of the sample shares of a job, and of their root, what hashlib says."""
    reference, prepared = HashlibValidator(), validator.prepare(parts)
    root, expected = reference.root(parts, _SAMPLE_SHARES[0].extranonce), reference.check(parts, _SAMPLE_SHARES)
    ways = prepared, validator.with_root(prepared, root)
    same_root = validator.root(prepared, _SAMPLE_SHARES[0].extranonce) == root
    return same_root and all(validator.check(way, _SAMPLE_SHARES) == expected for way in ways)
