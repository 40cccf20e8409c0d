"""The part of a job that workers need, and its serialization in shared memory.

Little-endian: the fixed fields of `_FIXED`, then coinbase prefix, coinbase suffix and Merkle branch, whose lengths are
among the fixed fields.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from solominer.chain.hashes import root_from_branch, sha256d
from solominer.errors import EngineError
from solominer.work.job import SEARCHED_SIZE, HeaderSpace, Job

_FIXED = struct.Struct("<QB8s32sI IIII 32s32s ? HHH")
"""job id, extranonce prefix with its size, prevhash, nbits; version, mask, ntime min, max; share target, network
target; park on block; bytes of prefix, suffix, branch."""


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """A job for the workers. Targets are integers, hashes in internal byte order.

    With `park_on_block` a worker that finds a block waits for the next job: a second block at the same height earns
    nothing.
    """

    job_id: int
    extranonce_prefix: bytes
    coinbase_prefix: bytes
    coinbase_suffix: bytes
    merkle_branch: tuple[bytes, ...]
    prevhash_le: bytes
    nbits: int
    space: HeaderSpace
    share_target: int
    network_target: int
    park_on_block: bool = True

    @classmethod
    def of(cls, job: Job, extranonce1: bytes) -> WorkerJob:
        """The workers' part of `job`, for the owner of this extranonce1."""
        return cls(
            job_id=job.job_id,
            extranonce_prefix=job.extranonce_prefix(extranonce1),
            coinbase_prefix=job.coinbase.prefix,
            coinbase_suffix=job.coinbase.suffix,
            merkle_branch=job.merkle_branch,
            prevhash_le=job.template.prevhash_le,
            nbits=job.template.nbits,
            space=job.space,
            share_target=job.share_target,
            network_target=job.template.target,
        )

    def extranonce(self, searched: int) -> bytes:
        """The extranonce; `searched` is its last 4 bytes, big-endian."""
        return self.extranonce_prefix + searched.to_bytes(SEARCHED_SIZE, "big")

    def merkle_root_le(self, searched: int) -> bytes:
        """The header's Merkle root for one extranonce, 32 bytes in internal byte order."""
        coinbase = self.coinbase_prefix + self.extranonce(searched) + self.coinbase_suffix
        return root_from_branch(sha256d(coinbase), self.merkle_branch)

    def pack(self) -> bytes:
        """Serialize for shared memory. Raises EngineError if a part is too long."""
        branch = b"".join(self.merkle_branch)
        try:
            fixed = _FIXED.pack(
                self.job_id,
                len(self.extranonce_prefix),
                self.extranonce_prefix,
                self.prevhash_le,
                self.nbits,
                self.space.version,
                self.space.version_mask,
                self.space.ntime_min,
                self.space.ntime_max,
                self.share_target.to_bytes(32, "little"),
                self.network_target.to_bytes(32, "little"),
                self.park_on_block,
                len(self.coinbase_prefix),
                len(self.coinbase_suffix),
                len(branch),
            )
        except (struct.error, OverflowError) as error:
            raise EngineError(f"job {self.job_id} does not fit the shared memory: {error}") from error
        return fixed + self.coinbase_prefix + self.coinbase_suffix + branch

    @classmethod
    def unpack(cls, data: bytes) -> WorkerJob:
        """The inverse of `pack`. Raises EngineError if the length is wrong."""
        if len(data) < _FIXED.size:
            raise EngineError("the job in shared memory is truncated")
        (
            job_id,
            extranonce_prefix_size,
            extranonce_prefix,
            prevhash_le,
            nbits,
            *space,
            share_target,
            network_target,
            park_on_block,
            prefix_size,
            suffix_size,
            branch_size,
        ) = _FIXED.unpack_from(data)
        prefix_end = _FIXED.size + prefix_size
        suffix_end = prefix_end + suffix_size
        if len(data) != suffix_end + branch_size or branch_size % 32:
            raise EngineError("the job in shared memory has the wrong length")
        return cls(
            job_id=job_id,
            extranonce_prefix=extranonce_prefix[:extranonce_prefix_size],
            coinbase_prefix=data[_FIXED.size : prefix_end],
            coinbase_suffix=data[prefix_end:suffix_end],
            merkle_branch=tuple(data[at : at + 32] for at in range(suffix_end, len(data), 32)),
            prevhash_le=prevhash_le,
            nbits=nbits,
            space=HeaderSpace(*space),
            share_target=int.from_bytes(share_target, "little"),
            network_target=int.from_bytes(network_target, "little"),
            park_on_block=park_on_block,
        )
