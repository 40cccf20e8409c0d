"""What a device says of itself, and how foreign values become numbers and texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from solominer.errors import SolominerError, printable

MOST_TEXT = 80
MOST_POOLS = 8
MOST_TEMP_C = 250.0
MOST = 1e24
"""No rate, difficulty or count that a device can have is above this."""


class DeviceFailed(SolominerError):
    """A device could not be asked, or gave no answer that can be used."""


class WrongKind(DeviceFailed):
    """It answers or refuses at once, but not as this kind of device does."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of a device. What it did not say, or not in a usable form, is None or empty.

    Rates are in hashes per second, temperatures in °C. `shares_*`, and `best_session_difficulty` are since its start.
    `pools` are HOST:PORT of the pools that it mines on. `overheated`: it says so itself.
    """

    kind: str
    model: str = ""
    firmware: str = ""
    hostname: str = ""
    rate_hps: float | None = None
    temp_c: float | None = None
    vr_temp_c: float | None = None
    power_w: float | None = None
    fan_rpm: float | None = None
    uptime_secs: float | None = None
    shares_accepted: int | None = None
    shares_rejected: int | None = None
    best_session_difficulty: float | None = None
    best_ever_difficulty: float | None = None
    pools: tuple[str, ...] = ()
    overheated: bool = False

    @property
    def j_per_th(self) -> float | None:
        """Energy for 10^12 hashes, in joules."""
        if not self.rate_hps or self.power_w is None:
            return None
        return self.power_w / (self.rate_hps / 1e12)


def number(value: Any, most: float = MOST) -> float | None:
    """A finite number from 0 to `most`, also as text; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and 0 <= found <= most else None


def positive(value: Any, most: float = MOST) -> float | None:
    """As `number`; None for 0, which stands for a sensor that is not there."""
    return number(value, most) or None


def whole(value: Any) -> int | None:
    """As `number`, rounded down."""
    found = number(value)
    return None if found is None else int(found)


def text(value: Any) -> str:
    """A short printable text, or empty."""
    return printable(value.strip(), MOST_TEXT) if isinstance(value, str) else ""


def pool(host: Any, port: Any = None) -> str:
    """HOST:PORT of a pool, without scheme and path; empty if there is no host."""
    place = text(host).rpartition("://")[2].partition("/")[0].rpartition("@")[2].lower()
    bare = place.rpartition("]")[2]
    known = number(port, 65_535)
    if not place or ":" in bare or not known:
        return place
    return f"{place}:{int(known)}"
