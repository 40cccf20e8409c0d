"""The forecast put together for one miner: the network's rate, the next retarget, the chance of a block, its cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solominer.insight.estimate import Estimate
from solominer.insight.forecast import (
    Epoch,
    Progress,
    RetargetForecast,
    block_chance_ahead,
    difficulty_path,
    forecast_retarget,
    network_rate,
)
from solominer.insight.odds import DAY_SECS, HOUR_SECS, YEAR_SECS, block_chance, cost_per_block, median_wait_secs

RATE_DAYS = (1, 7, 14)
HORIZONS = {"hour": HOUR_SECS, "day": DAY_SECS, "year": YEAR_SECS}


@dataclass(frozen=True, slots=True)
class Miner:
    """Whose chances: hashes per second, and electricity where it is known (price in any currency)."""

    rate_hps: float
    watts: float | None = None
    price_per_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class Chance:
    """Of at least one block within a horizon: at today's difficulty, and over the difficulties to come (None where no
    forecast can be made). `electricity` is what the time costs."""

    horizon: str
    today: float
    ahead: Estimate | None
    electricity: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """`retarget` is None where difficulty never changes or too little is known; `why_not` says which."""

    difficulty: float
    network_hps: dict[int, Estimate]
    retarget: RetargetForecast | None
    why_not: str
    chances: tuple[Chance, ...] = ()
    median_wait_secs: float | None = None
    cost_per_block: float | None = None

    @property
    def change(self) -> Estimate | None:
        """The next difficulty over today's."""
        return None if self.retarget is None else self.retarget.difficulty.scaled(1 / self.difficulty)


def outlook(
    difficulty: float,
    epochs: Sequence[Epoch],
    progress: Progress | None,
    blocks: Sequence[tuple[float, float]],
    now_secs: float,
    miner: Miner | None,
) -> Outlook:
    """Everything that can be said. `blocks` are (header time, difficulty) of the last 14 days, `now_secs` Unix."""
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
    chances = []
    for name, secs in HORIZONS.items():
        ahead = None
        if progress is not None and retarget is not None:
            ahead = block_chance_ahead(miner.rate_hps, difficulty_path(epochs, progress, secs))
        spent = None if per_hour is None else per_hour * secs / HOUR_SECS
        chances.append(Chance(name, block_chance(miner.rate_hps, difficulty, secs), ahead, spent))
    cost = None
    if watts is not None and price is not None:
        cost = cost_per_block(miner.rate_hps, difficulty, watts, price)
    wait = median_wait_secs(miner.rate_hps, difficulty)
    return Outlook(difficulty, rates, retarget, why_not, tuple(chances), wait, cost)
