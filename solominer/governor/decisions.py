"""The policies' decisions: how many workers should hash under the current conditions, and why. Each policy is off
unless it is set. None of them finds more blocks per hash; they choose when hashing is cheaper."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solominer.config.steering import PoliciesConfig


@dataclass(frozen=True, slots=True)
class Conditions:
    """The current conditions; unknown ones are None and disable the policies that need them.

    `active` of `workers` are hashing, at `rate_hps` together; `difficulty_ratio` is the forecast of the next
    difficulty over today's; `cost_per_block` is in the price's currency.
    """

    workers: int
    active: int
    within_hours: bool | None = None
    difficulty_ratio: float | None = None
    price_per_kwh: float | None = None
    cost_per_block: float | None = None
    rate_hps: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The number of workers to use (0: pause), and the reasons for it (none: no limit applies).

    `share` is the exact intensity, for engines that need not use whole workers; None: what `active` makes of it.
    """

    active: int
    reasons: tuple[str, ...] = ()
    share: float | None = None


def decide(settings: PoliciesConfig, now: Conditions) -> Decision:
    """Evaluate all policies."""
    limits = list(_limits(settings, now))
    share = min([settings.intensity, *(intensity for intensity, _ in limits)])
    reasons = tuple(reason for _, reason in limits)
    active = min(now.workers, math.ceil(share * now.workers))
    if limits or settings.target_rate_hps is None or active == 0:
        return Decision(active, reasons, share)
    return _towards_target(settings.target_rate_hps, settings.target_share, now, active)


def _limits(settings: PoliciesConfig, now: Conditions) -> list[tuple[float, str]]:
    """(intensity, reason) of every policy that requires less than the normal intensity."""
    limits = []
    factor, ratio = settings.difficulty_factor, now.difficulty_ratio
    if factor is not None and ratio is not None and ratio > factor:
        reason = f"the next difficulty is forecast at {ratio:.3f} of today's, above {factor:g}"
        limits.append((settings.difficulty_intensity, reason))
    if settings.hours is not None and now.within_hours is False:
        limits.append((settings.intensity_outside, f"outside the electricity hours {settings.hours}"))
    price, most = now.price_per_kwh, settings.max_price_per_kwh
    if price is not None and most is not None and price > most:
        limits.append((0.0, f"the price per kWh is {price:g}, above {most:g}"))
    cost, most = now.cost_per_block, settings.max_cost_per_block
    if cost is not None and most is not None and cost > most:
        limits.append((0.0, f"the expected cost of a block is {cost:,.0f}, above {most:,.0f}"))
    return [(intensity, reason) for intensity, reason in limits if intensity < settings.intensity]


def _towards_target(target_hps: float, share: float, now: Conditions, least: int) -> Decision:
    """Add a worker while the rate is too low; remove one if the rate would still be high enough without it."""
    wanted = max(least, now.active)
    if now.rate_hps is None or now.active < least:
        return Decision(wanted)
    measured = f"{now.rate_hps / 1e6:,.2f} MH/s with {now.active} workers"
    if now.rate_hps < share * target_hps:
        if now.active < now.workers:
            return Decision(now.active + 1, (f"{measured} is less than {share:.0%} of the target",))
        return Decision(now.active, (f"{measured} is less than {share:.0%} of the target, with no worker left to add",))
    if now.active > least and now.rate_hps * (now.active - 1) / now.active > target_hps:
        return Decision(now.active - 1, (f"{measured} is above the target",))
    return Decision(wanted)
