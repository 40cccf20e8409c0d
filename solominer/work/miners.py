"""Shares of miners, summed: what a server of miners hands to the records in the place of single shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_HASH = 1 << 256
"""Above every hash: the best one of no shares."""


@dataclass(frozen=True, slots=True)
class MinerShares:
    """What one worker name did with one kind of client in some stretch of time.

    `hashes` is what the accepted `shares` take on average, `hashes_squared` the sum of the squares of each share's
    hashes, `best_hash` the smallest hash as a number. `rejected` counts by reason, `connects` counts logins.
    `connected_secs` is the time with a connection, `exposure_secs` the same with each second divided by the difficulty.
    """

    worker: str
    user_agent: str
    shares: int = 0
    hashes: int = 0
    hashes_squared: float = 0.0
    best_hash: int = NO_HASH
    rejected: Mapping[str, int] = field(default_factory=dict)
    connects: int = 0
    connected_secs: float = 0.0
    exposure_secs: float = 0.0

    def plus(self, other: MinerShares) -> MinerShares:
        """Both together, under this one's names."""
        reasons = {**self.rejected, **other.rejected}
        return MinerShares(
            self.worker,
            self.user_agent,
            self.shares + other.shares,
            self.hashes + other.hashes,
            self.hashes_squared + other.hashes_squared,
            min(self.best_hash, other.best_hash),
            {reason: self.rejected.get(reason, 0) + other.rejected.get(reason, 0) for reason in reasons},
            self.connects + other.connects,
            self.connected_secs + other.connected_secs,
            self.exposure_secs + other.exposure_secs,
        )
