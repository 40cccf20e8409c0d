"""Shares checked with hashlib: what `validate` must agree with, and what stands in until compiled code is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from solominer.chain.hashes import hash_to_int, root_from_branch, sha256d
from solominer.chain.header import Header


@dataclass(frozen=True, slots=True)
class JobParts:
    """What the hash of a job's share depends on. Hashes in internal order; `target` is the network's.

    `prefix` and `suffix` are the halves of the stripped coinbase around its extranonce.
    """

    prefix: bytes
    suffix: bytes
    extranonce_size: int
    branch: tuple[bytes, ...]
    prevhash_le: bytes
    nbits: int
    target: int


class ShareCandidate(NamedTuple):
    """One share as it is to be hashed; `extranonce` is both halves, `target` the share's own."""

    extranonce: bytes
    version: int
    ntime: int
    nonce: int
    target: int


MAX_BATCH = 256
"""Shares that are checked at once."""

NOTHING, SHARE, BLOCK = 0, 1, 2
"""What a hash meets: bits of `meets`. Plain numbers, since there is one for every share."""


class Checked(NamedTuple):
    """A share's hash, 32 bytes in internal order, and what it meets (bits SHARE and BLOCK)."""

    hash_le: bytes
    meets: int


def root_of(parts: JobParts, extranonce: bytes) -> bytes:
    """The Merkle root of the job's block with this extranonce, 32 bytes in internal order."""
    return root_from_branch(sha256d(parts.prefix + extranonce + parts.suffix), parts.branch)


def header_of(parts: JobParts, share: ShareCandidate) -> Header:
    """The header that the share claims to have hashed."""
    root = root_of(parts, share.extranonce)
    return Header(share.version, parts.prevhash_le, root, share.ntime, parts.nbits, share.nonce)


class HashlibValidator:
    """The same interface as `validate.Validator`, without compiled code."""

    def prepare(self, parts: JobParts) -> JobParts:
        """Nothing is prepared."""
        return parts

    def root(self, prepared: JobParts, extranonce: bytes) -> bytes:
        """The Merkle root of the job's block with this extranonce."""
        return root_of(prepared, extranonce)

    def check(self, prepared: JobParts, shares: Sequence[ShareCandidate]) -> list[Checked]:
        """The hash of each share of the job and what it meets, in order."""
        checked = []
        for share in shares:
            hash_le = header_of(prepared, share).hash_le()
            value = hash_to_int(hash_le)
            meets = (SHARE if value <= share.target else NOTHING) | (BLOCK if value <= prepared.target else NOTHING)
            checked.append(Checked(hash_le, meets))
        return checked
