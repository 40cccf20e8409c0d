"""Claims against evidence: liars of 20 % are flagged within an hour, honest workers are not, reasons name the test."""

from __future__ import annotations

import numpy as np

from solominer.chain.target import HASH_SPACE
from solominer.insight.mismatch import FALSE_ALARM, check_claim

UNIT = 2.0**32
SHARES = 1000


def hours(claim: float, trials: int, seed: int) -> list[bool]:
    """Whether each of `trials` hours with 1,000 shares to be expected is flagged, claiming `claim` times the work."""
    rng = np.random.default_rng(seed)
    flags = []
    for _ in range(trials):
        kth = int(rng.gamma(16) / (SHARES * UNIT) * 2.0**64) << 192
        flags.append(check_claim(claim * SHARES * UNIT, int(rng.poisson(SHARES)), UNIT, kth).flagged)
    return flags


def test_a_claim_of_20_percent_too_much_is_flagged_within_an_hour() -> None:
    assert np.mean(hours(1.2, 2000, 1)) >= 0.95


def test_honest_hours_are_not_flagged_more_often_than_stated() -> None:
    # 20,000 hours at 1e-4 are two alarms on average; more than nine have a chance of 5e-5.
    assert sum(hours(1.0, 20_000, 2)) <= 9
    assert FALSE_ALARM == 1e-4


def test_the_reason_names_the_direction() -> None:
    kth = int(16 / (SHARES * UNIT) * HASH_SPACE)
    fewer = check_claim(2 * SHARES * UNIT, SHARES, UNIT, kth)
    assert fewer.reasons == ("too few shares for the claimed hashes",)
    more = check_claim(0.5 * SHARES * UNIT, SHARES, UNIT, kth)
    assert more.reasons == ("too many shares for the claimed hashes",)
    large = check_claim(SHARES * UNIT, SHARES, UNIT, kth * 5)
    assert large.reasons == ("smallest hashes too large for the claim",)
    small = check_claim(SHARES * UNIT, SHARES, UNIT, kth // 5)
    assert small.reasons == ("smallest hashes too small for the claim",)


def test_a_claim_of_nothing_is_refuted_by_one_share() -> None:
    assert check_claim(0.0, 1, UNIT).flagged
    assert not check_claim(0.0, 0, UNIT).flagged


def test_p_value_of_an_ordinary_hour_is_large() -> None:
    assert check_claim(SHARES * UNIT, SHARES + 5, UNIT).p_value > 0.5
