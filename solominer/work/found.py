"""A found block, with everything required to submit, prove and track it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.header import Header
from solominer.work.job import Job
from solominer.work.workers import WorkerId


class BlockState(StrEnum):
    """State of a found block."""

    FOUND = "found"
    SENT = "sent"
    ACCEPTED = "accepted"  # a node answered null, or has it in its active chain
    CONFIRMED = "confirmed"  # at least 2 confirmations
    MATURE = "mature"  # 100 confirmations
    STALE = "stale"  # another block replaced it; may become active again
    REJECTED = "rejected"  # invalid
    SUPERSEDED = "superseded"  # another of our blocks on the same parent is submitted instead


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A solved block. Hashes and `header` are in internal order; `extranonce` is both halves.

    `block_hex` is the parameter of submitblock, `coinbase_hex` the coinbase with its witness.
    """

    hash_le: bytes
    height: int
    header: bytes
    block_hex: str
    coinbase_hex: str
    merkle_branch: tuple[bytes, ...]
    extranonce: bytes
    target: int
    reward_sats: int
    transaction_count: int
    found_at: float
    job_id: int
    template_id: str
    worker: WorkerId
    kernel: str

    @property
    def hash_hex(self) -> str:
        """The block hash as RPC shows it."""
        return to_rpc_hex(self.hash_le)

    @property
    def prevhash_le(self) -> bytes:
        """The parent's hash."""
        return self.header[4:36]


def solve(job: Job, header: Header, extranonce: bytes, *, found_at: float, worker: WorkerId, kernel: str) -> FoundBlock:
    """The FoundBlock of a header that meets the job's network target; `extranonce` is both halves."""
    packed = header.pack()
    template = job.template
    return FoundBlock(
        hash_le=header.hash_le(),
        height=template.height,
        header=packed,
        block_hex=job.block_hex(packed, extranonce),
        coinbase_hex=job.coinbase.serialize(extranonce).hex(),
        merkle_branch=job.merkle_branch,
        extranonce=extranonce,
        target=template.target,
        reward_sats=template.coinbase_value,
        transaction_count=1 + len(template.transactions),
        found_at=found_at,
        job_id=job.job_id,
        template_id=template.template_id,
        worker=worker,
        kernel=kernel,
    )
