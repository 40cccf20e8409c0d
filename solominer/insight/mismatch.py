"""Checks a worker's claimed hashes against its shares and its smallest hashes, which cannot be forged.

A worker that claims too much finds too few shares for its claim, and its k-th smallest hash is too large. A core that
computes wrongly looks the same. Claims that are too low indicate a broken counter and are flagged too.
"""

from __future__ import annotations

from dataclasses import dataclass

from solominer.chain.target import HASH_SPACE
from solominer.insight.distributions import chance_at_least, chance_at_most

FALSE_ALARM = 1e-4

# How the allowed false alarms are divided among the tests: nearly all go to the most powerful test of the fault that
# matters most, too few shares. The sum is 1, so the total is bounded whatever their dependence (Bonferroni).
_ALLOWANCE = {
    "too few shares for the claimed hashes": 0.91,
    "too many shares for the claimed hashes": 0.03,
    "smallest hashes too large for the claim": 0.03,
    "smallest hashes too small for the claim": 0.03,
}


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """The result of `check_claim`.

    `reasons` are the tests that failed; `p_value` is corrected for multiple testing; at most the fraction FALSE_ALARM
    of honest periods is flagged.
    """

    p_value: float
    reasons: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        """Whether the evidence contradicts the claim."""
        return bool(self.reasons)


def check_claim(
    claimed_hashes: float,
    shares: int,
    hashes_per_share: float,
    kth_hash: int | None = None,
    k: int = 16,
) -> ClaimCheck:
    """Compare a period's claimed hashes with its shares and, if known, with the value of its k-th smallest hash.

    For shares at varying targets pass the mean hashes per share. Longer periods detect smaller deviations. Any share
    refutes a claim of zero.
    """
    expected = claimed_hashes / hashes_per_share
    p_values = [chance_at_most(shares, expected), chance_at_least(shares, expected)]
    if kth_hash is not None:
        below = claimed_hashes * ((kth_hash + 1) / HASH_SPACE)  # hashes expected at or under the k-th smallest
        p_values += [chance_at_most(k - 1, below), chance_at_least(k, below)]
    corrected = [p / share for p, share in zip(p_values, _ALLOWANCE.values(), strict=False)]
    reasons = tuple(name for name, p in zip(_ALLOWANCE, corrected, strict=False) if p <= FALSE_ALARM)
    return ClaimCheck(min(1.0, *corrected), reasons)
