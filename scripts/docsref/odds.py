"""The figures of the page on odds, computed by solominer.insight for the last difficulty in tests/vectors."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from solominer.insight.odds import YEAR_SECS, block_chance, cost_per_block, expected_best_difficulty, median_wait_secs

EPOCHS = Path(__file__).parents[2] / "tests/vectors/mainnet_difficulty_epochs.csv"
MINERS = (
    ("one fast core", 70e6, 10.0),
    ("a desktop, 8 cores", 400e6, 90.0),
    ("a server, 64 cores", 3e9, 400.0),
    ("a small ASIC, 1 TH/s", 1e12, 18.0),
    ("a large ASIC, 200 TH/s", 200e12, 3500.0),
)
PRICE_PER_KWH = 0.20
JACKPOT_6_OF_49 = math.comb(49, 6)


def last_epoch() -> tuple[int, float]:
    """First height and difficulty of the last epoch in the data."""
    with EPOCHS.open() as file:
        *_, last = csv.DictReader(file)
    return int(last["first_height"]), float(last["difficulty"])


def odds() -> str:
    """A table with a row for each kind of miner."""
    height, difficulty = last_epoch()
    lines = [
        f"Difficulty {difficulty:,.0f}, in force from block {height:,} on; {PRICE_PER_KWH:.2f} for a kilowatt-hour.",
        "",
        "| miner | chance of a block in a year | median wait | expected best share in a year "
        "| electricity for one block, on average |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, rate_hps, watts in MINERS:
        chance = block_chance(rate_hps, difficulty, YEAR_SECS)
        wait = median_wait_secs(rate_hps, difficulty) / YEAR_SECS
        best = expected_best_difficulty(rate_hps * YEAR_SECS).value
        cost = cost_per_block(rate_hps, difficulty, watts, PRICE_PER_KWH)
        lines.append(
            f"| {name} | 1 in {_rounded(1 / chance)} | {_rounded(wait)} years | {best / difficulty:.1e} of a block "
            f"| {_rounded(cost)} |"
        )
    desktop = block_chance(MINERS[1][1], difficulty, YEAR_SECS)
    lines += [
        "",
        f"For comparison: one ticket of a 6-of-49 lottery wins the jackpot with a chance of 1 in {JACKPOT_6_OF_49:,}. "
        f"The desktop's chance in a whole year is that of {_rounded(desktop * JACKPOT_6_OF_49, 2)} tickets.",
    ]
    return "\n".join(lines)


def _rounded(value: float, digits: int = 2) -> str:
    """The value with `digits` significant digits."""
    scale = 10 ** (math.floor(math.log10(value)) - digits + 1)
    rounded = round(value / scale) * scale
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.{digits}g}"
