"""The policies decide what they say and for the reason they say; what is not known makes no difference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.config.steering import PoliciesConfig
from solominer.governor.decisions import Conditions, Decision, decide

CALM = Conditions(
    workers=8,
    active=8,
    within_hours=True,
    difficulty_ratio=1.0,
    price_per_kwh=0.2,
    cost_per_block=1000.0,
    rate_hps=80e6,
)


def test_off_by_default() -> None:
    assert not PoliciesConfig().is_on
    odd = Conditions(8, 8, False, 3.0, 99.0, 1e9, 1.0)
    assert decide(PoliciesConfig(), odd) == Decision(8, share=1.0)


@pytest.mark.parametrize(
    ("settings", "change", "active", "said"),
    [
        (PoliciesConfig(difficulty_factor=1.05), {"difficulty_ratio": 1.06}, 4, "at 1.060 of today's, above 1.05"),
        (PoliciesConfig(difficulty_factor=1.05, difficulty_intensity=0.0), {"difficulty_ratio": 1.2}, 0, "forecast"),
        (PoliciesConfig(hours="22:00-06:00", intensity_outside=0.1), {"within_hours": False}, 1, "hours 22:00-06:00"),
        (PoliciesConfig(hours="22:00-06:00", intensity_outside=0.0), {"within_hours": False}, 0, "outside the"),
        (PoliciesConfig(max_price_per_kwh=0.3), {"price_per_kwh": 0.31}, 0, "the price per kWh is 0.31, above 0.3"),
        (PoliciesConfig(max_cost_per_block=5000), {"cost_per_block": 6000.0}, 0, "of a block is 6,000, above 5,000"),
        (PoliciesConfig(intensity=0.25, target_rate_hps=1e8), {"active": 2}, 3, "80.00 MH/s with 2 workers is less"),
    ],
)  # fmt: skip
def test_each_policy_acts_with_its_reason(
    settings: PoliciesConfig, change: dict[str, object], active: int, said: str
) -> None:
    assert settings.is_on
    calm = replace(CALM, active=2, rate_hps=1e8) if settings.target_rate_hps else CALM
    assert decide(settings, calm).reasons == ()
    decision = decide(settings, replace(CALM, **change))  # type: ignore[arg-type]
    assert decision.active == active
    assert any(said in reason for reason in decision.reasons)


def test_the_strictest_wins_and_all_reasons_are_told() -> None:
    settings = PoliciesConfig(difficulty_factor=1.1, hours="22:00-06:00", intensity_outside=0.0)
    decision = decide(settings, replace(CALM, difficulty_ratio=1.2, within_hours=False))
    assert decision.active == 0
    assert len(decision.reasons) == 2


def test_workers_are_added_one_by_one_and_taken_away_again() -> None:
    settings = PoliciesConfig(intensity=0.25, target_rate_hps=50e6, target_share=0.9)
    each, active, seen = 10e6, 2, []
    for _ in range(5):
        active = decide(settings, replace(CALM, active=active, rate_hps=each * active)).active
        seen.append(active)
    assert seen == [3, 4, 5, 5, 5], "45 MH/s are enough, and one less would not be"
    each, seen = 20e6, []
    for _ in range(4):
        active = decide(settings, replace(CALM, active=active, rate_hps=each * active)).active
        seen.append(active)
    assert seen == [4, 3, 3, 3]
    none_left = decide(settings, replace(CALM, active=8, rate_hps=1e6))
    assert none_left.active == 8
    assert "no worker left to add" in none_left.reasons[0]


def test_no_worker_is_added_against_another_policy() -> None:
    settings = PoliciesConfig(intensity=0.5, target_rate_hps=1e12, hours="22:00-06:00", intensity_outside=0.25)
    assert decide(settings, replace(CALM, active=2, within_hours=False)).active == 2
    assert decide(settings, replace(CALM, active=2, rate_hps=None)).active == 4, "back to normal first"
    assert decide(settings, replace(CALM, active=4, rate_hps=None)).active == 4, "not measured: left alone"


@given(
    st.builds(
        PoliciesConfig.model_construct,
        intensity=st.floats(0.01, 1),
        difficulty_factor=st.none() | st.floats(0.5, 2),
        difficulty_intensity=st.floats(0, 1),
        hours=st.none() | st.just("22:00-06:00"),
        intensity_outside=st.floats(0, 1),
        max_price_per_kwh=st.none() | st.floats(0, 1),
        max_cost_per_block=st.none() | st.floats(1, 1e9),
        target_rate_hps=st.none() | st.floats(1, 1e9),
    ),
    st.builds(
        Conditions,
        workers=st.just(8),
        active=st.integers(0, 8),
        within_hours=st.none() | st.booleans(),
        difficulty_ratio=st.none() | st.floats(0.3, 3),
        price_per_kwh=st.none() | st.floats(0, 1),
        cost_per_block=st.none() | st.floats(1, 1e9),
        rate_hps=st.none() | st.floats(0, 1e9),
    ),
)
def test_a_decision_is_always_possible_and_never_silent_about_less(settings: PoliciesConfig, now: Conditions) -> None:
    decision = decide(settings, now)
    assert 0 <= decision.active <= now.workers
    normal = decide(PoliciesConfig(intensity=settings.intensity), now).active
    assert decision.active >= normal or decision.reasons
    blind = Conditions(now.workers, now.active)
    assert decide(settings.model_copy(update={"target_rate_hps": None}), blind) == Decision(
        normal, share=settings.intensity
    )
