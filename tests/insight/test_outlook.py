"""The outlook for one miner: its figures are those of the parts it is made of, and what cannot be said is left out."""

from __future__ import annotations

import pytest

from solominer.insight.forecast import INTERVALS, TARGET_SPAN_SECS, Epoch, EpochProgress
from solominer.insight.odds import YEAR_SECS, block_chance, hashes_at_difficulty
from solominer.insight.outlook import Miner, outlook

DIFFICULTY = 1e12
NOW = 1_780_000_000.0
EPOCHS = [Epoch(DIFFICULTY, TARGET_SPAN_SECS)] * 20
PROGRESS = EpochProgress(DIFFICULTY, 1000, 1000 * TARGET_SPAN_SECS / INTERVALS)
BLOCKS = [(NOW - 600 * i, DIFFICULTY) for i in range(2016)]


def test_a_steady_network() -> None:
    seen = outlook(DIFFICULTY, EPOCHS, PROGRESS, BLOCKS, NOW, Miner(1e15, 3000, 0.25))
    assert seen.change is not None
    assert seen.change.value == pytest.approx(1, abs=1e-6)
    for days, rate in seen.network_hps.items():
        assert rate.value == pytest.approx(hashes_at_difficulty(DIFFICULTY) / 600, rel=0.01)
        assert rate.low < rate.value < rate.high
        assert days in (1, 7, 14)
    assert [chance.horizon for chance in seen.chances] == ["hour", "day", "year"]
    year = seen.chances[2]
    assert year.today == block_chance(1e15, DIFFICULTY, YEAR_SECS)
    assert year.ahead is not None
    assert year.ahead.value == pytest.approx(year.today, rel=0.02)
    assert year.ahead.low < year.ahead.value < year.ahead.high
    assert seen.chances[0].electricity == pytest.approx(0.75)
    assert seen.cost_per_block == pytest.approx(hashes_at_difficulty(DIFFICULTY) / 1e15 / 3600 * 0.75)
    assert seen.median_wait_secs == pytest.approx(0.6931 * hashes_at_difficulty(DIFFICULTY) / 1e15, rel=1e-3)


def test_a_growing_network_lowers_the_chances_to_come() -> None:
    growing = [Epoch(DIFFICULTY * 1.05**i, TARGET_SPAN_SECS / 1.05) for i in range(-20, 0)]
    progress = EpochProgress(DIFFICULTY, 1000, 1000 * TARGET_SPAN_SECS / 1.05 / INTERVALS)
    year = outlook(DIFFICULTY, growing, progress, BLOCKS, NOW, Miner(1e13)).chances[2]
    assert year.ahead is not None
    assert year.ahead.value < 0.8 * year.today
    assert year.electricity is None


def test_what_is_not_known_is_not_said() -> None:
    alone = outlook(DIFFICULTY, EPOCHS, PROGRESS, BLOCKS, NOW, None)
    assert (alone.chances, alone.median_wait_secs, alone.cost_per_block) == ((), None, None)
    assert outlook(DIFFICULTY, EPOCHS, PROGRESS, BLOCKS, NOW, Miner(0.0)).chances == ()
    flat = outlook(DIFFICULTY, (), None, BLOCKS, NOW, Miner(1e15))
    assert flat.retarget is None
    assert flat.change is None
    assert "never changes" in flat.why_not
    assert flat.chances[0].ahead is None
    young = outlook(DIFFICULTY, (), EpochProgress(DIFFICULTY, 0, 0), [], NOW, Miner(1e15))
    assert "fewer than 8 closed epochs" in young.why_not
    assert young.network_hps[1].value == 0
