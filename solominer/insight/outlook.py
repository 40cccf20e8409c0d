"""The forecast for one miner: the next retarget, the network's hash rate, the chances of a block and their cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solominer.insight.estimate import Estimate
from solominer.insight.forecast import (
    Epoch,
    EpochProgress,
    RetargetForecast,
    block_chance_ahead,
    difficulty_path,
    forecast_retarget,
    network_rate,
)
from solominer.insight.odds import (
    DAY_SECS,
    HOUR_SECS,
    YEAR_SECS,
    block_chance,
    cost_per_block,
    median_wait_secs,
)

RATE_DAYS = (1, 7, 14)
HORIZONS = {"hour": HOUR_SECS, "day": DAY_SECS, "year": YEAR_SECS}


@dataclass(frozen=True, slots=True)
class Miner:
    """The miner's hash rate, and its power and electricity price (in any currency) if known."""

    rate_hps: float
    watts: float | None = None
    price_per_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class Chance:
    """The chance of at least one block within a horizon, at today's difficulty and over the forecast difficulties (None
    without a forecast); `electricity` is the cost of that time."""

    horizon: str
    today: float
    ahead: Estimate | None
    electricity: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """The forecast for one miner. `retarget` is None for the reason in `why_not`."""

    difficulty: float
    network_hps: dict[int, Estimate]
    retarget: RetargetForecast | None
    why_not: str
    chances: tuple[Chance, ...] = ()
    median_wait_secs: float | None = None
    cost_per_block: float | None = None

    @property
    def change(self) -> Estimate | None:
        """The next difficulty relative to today's."""
        return None if self.retarget is None else self.retarget.difficulty.scaled(1 / self.difficulty)


def outlook(
    difficulty: float,
    epochs: Sequence[Epoch],
    progress: EpochProgress | None,
    blocks: Sequence[tuple[float, float]],
    now_secs: float,
    miner: Miner | None,
) -> Outlook:
    """The whole forecast. `blocks` are (header time, difficulty) of the last 14 days, `now_secs` is Unix time."""
    rates = {days: network_rate(blocks, now_secs, days * DAY_SECS) for days in RATE_DAYS}
    retarget, why_not = None, "difficulty never changes on this network"
    if progress is not None:
        try:
            retarget, why_not = forecast_retarget(epochs, progress), ""
        except ValueError as error:
            why_not = str(error)
    if miner is None or miner.rate_hps <= 0:
        return Outlook(difficulty, rates, retarget, why_not)
    watts, price = miner.watts, miner.price_per_kwh
    per_hour = watts / 1000 * price if watts is not None and price is not None else None
    cost = cost_per_block(miner.rate_hps, difficulty, watts, price) if watts is not None and price is not None else None
    chances = []
    for name, secs in HORIZONS.items():
        ahead = None
        if progress is not None and retarget is not None:
            ahead = block_chance_ahead(miner.rate_hps, difficulty_path(epochs, progress, secs))
        spent = None if per_hour is None else per_hour * secs / HOUR_SECS
        chances.append(Chance(name, block_chance(miner.rate_hps, difficulty, secs), ahead, spent))
    wait = median_wait_secs(miner.rate_hps, difficulty)
    return Outlook(difficulty, rates, retarget, why_not, tuple(chances), wait, cost)


def outlook_document(seen: Outlook, now: float, retarget_height: int | None) -> dict[str, Any]:
    """The forecast as JSON values; an estimate is {value, low, high, level}, with null for what is not finite.

    `now` (Unix seconds) is when it was made, `retarget_height` the height of the next retarget.
    """
    following = seen.retarget
    retarget = None
    if following is not None and seen.change is not None:
        retarget = {
            "height": retarget_height,
            "blocks_left": following.blocks_left + 1,
            "at": _estimate(following.secs_left, now),
            "difficulty": _estimate(following.difficulty),
            "change": _estimate(seen.change),
            "model": following.model,
        }
    chances = [
        {
            "horizon": chance.horizon,
            "at_todays_difficulty": chance.today,
            "over_difficulties_to_come": None if chance.ahead is None else _estimate(chance.ahead),
            "electricity": chance.electricity,
        }
        for chance in seen.chances
    ]
    return {
        "difficulty": seen.difficulty,
        "retarget": retarget,
        "why_no_retarget": seen.why_not,
        "network_hps": {f"{days}d": _estimate(rate) for days, rate in seen.network_hps.items()},
        "chances_of_a_block": chances,
        "median_wait_secs": seen.median_wait_secs,
        "cost_per_block": seen.cost_per_block,
    }


def _estimate(estimate: Estimate, add: float = 0.0) -> dict[str, float | None]:
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    finite: dict[str, float | None] = {name: v + add if math.isfinite(v) else None for name, v in values.items()}
    return {**finite, "level": estimate.level}
