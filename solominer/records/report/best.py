"""The k smallest hashes of an hour, each with everything needed to rehash it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "solominer-best-hashes/1"
KEPT = 16

JOB_KEYS = (  # of the ledger's `work`
    "height", "prevhash", "nbits", "coinbase_prefix_hex", "coinbase_suffix_hex",
    "merkle_branch_hex", "share_target_hex",
)  # fmt: skip
_SHARE_KEYS = (
    "hash", "job", "worker", "kernel", "extranonce_hex", "version", "ntime", "nonce", "at", "plan",
    "share_target_hex",
)  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class KeptHash:
    """One hash as a number (the one compared with targets), with its `share` and `work` lines."""

    value: int
    share: Mapping[str, Any] = field(compare=False)
    job: Mapping[str, Any] = field(compare=False)


class BestHashes:
    """The `k` smallest distinct hashes added so far, smallest first."""

    def __init__(self, k: int = KEPT) -> None:
        self.k = k
        self.kept: list[KeptHash] = []

    def add(self, value: int, share: Mapping[str, Any], job: Mapping[str, Any]) -> None:
        """Offer a share; duplicates are ignored."""
        if len(self.kept) == self.k and value >= self.kept[-1].value:
            return
        if any(other.value == value for other in self.kept):
            return
        insort(self.kept, KeptHash(value, share, job))
        del self.kept[self.k :]

    def kth(self) -> int | None:
        """The k-th smallest hash, or None if there are fewer."""
        return self.kept[-1].value if len(self.kept) == self.k else None

    def document(self, network: str, part: str) -> dict[str, Any]:
        """The content of `best-hashes.json` (docs/schemas/best-hashes.schema.json)."""
        jobs = {kept.share["job"]: {key: kept.job[key] for key in JOB_KEYS} for kept in self.kept}
        hashes = [{key: kept.share[key] for key in _SHARE_KEYS if key in kept.share} for kept in self.kept]
        return {"schema": SCHEMA, "network": network, "part": part, "k": self.k, "jobs": jobs, "hashes": hashes}
