"""Numbers of reports as text and as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from solominer.insight.estimate import Estimate
from solominer.insight.mismatch import ClaimCheck

_PREFIXES = ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(value: float) -> str:
    """Up to four significant digits with an SI prefix: `1.234 G`."""
    for factor, prefix in _PREFIXES:
        if abs(value) >= 0.99995 * factor:  # rounds up to `factor`
            return f"{value / factor:.4g} {prefix}"
    return f"{value:.4g} "


def many(count: int, noun: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def odds(chance: float) -> str:
    """A probability: below 10 % as `1 in N`, else in percent."""
    if chance <= 0:
        return "none"
    if chance < 0.1:
        return f"1 in {short(1 / chance).strip()}"
    return f"{chance:.1%}"


def duration(secs: float) -> str:
    """0.8 ms, 12.3 s, 5 min 20 s, 3 h 12 min, 12 d 4 h."""
    if secs < 1:
        return f"{secs * 1000:.3g} ms"
    if secs < 100:
        return f"{secs:.3g} s"
    minutes, seconds = divmod(round(secs), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def hashes_text(counted: float, credited: float) -> str:
    """Counted and credited hashes, without the part that is zero."""
    parts = [f"{short(counted)}H counted"] if counted or not credited else []
    return ", ".join([*parts, f"{short(credited)}H credited"] if credited else parts)


def interval_text(value: Mapping[str, Any], unit: str) -> str:
    """A value with its interval."""
    high = "no upper bound" if value["high"] is None else f"{short(value['high'])}{unit}"
    return f"{short(value['value'])}{unit} ({value['level']:.0%}: {short(value['low'])}{unit} to {high})"


def mismatch(claim: ClaimCheck) -> dict[str, Any]:
    """The comparison of counted hashes with shares as JSON."""
    return {"flagged": claim.flagged, "p_value": claim.p_value, "reasons": list(claim.reasons)}


def interval(estimate: Estimate) -> dict[str, float | None]:
    """An estimate as JSON; an infinite bound is null."""
    high = None if math.isinf(estimate.high) else estimate.high
    return {"value": estimate.value, "low": estimate.low, "high": high, "level": estimate.level}
