"""AxeOS: Bitaxe (bitaxeorg/ESP-Miner), NerdQAxe (shufps/ESP-Miner-NerdQAxePlus) and what descends from them.

`GET /api/system/info`: rates in GH/s, temperatures in °C, power in W. Difficulties are texts such as "4.29G" in older
firmware and numbers in newer. NerdQAxe has its model in `deviceModel`, says `shutdown` when it was too hot, and may
mine on two pools at the same time (`stratum.activePoolMode` 1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from solominer.web.devices.http import get_json
from solominer.web.devices.reading import MOST_TEMP_C, Reading, WrongKind, number, pool, positive, text, whole

KIND = "axeos"
PATH = "/api/system/info"
HOT_C, VR_HOT_C = 70.0, 100.0
_GIGA = 1e9
_SCALED = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kKMGTPE]?)\s*")
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}


async def read(host: str, port: int, timeout_secs: float | None = None) -> Reading:
    """Ask a device. Raises DeviceFailed; WrongKind if it is no AxeOS device."""
    return reading(await get_json(host, port, PATH, timeout_secs))


def reading(info: Mapping[str, Any]) -> Reading:
    """What the answer says. Raises WrongKind if it is not that of AxeOS."""
    if not {"hashRate", "ASICModel"} & info.keys():
        raise WrongKind("its answer is not that of AxeOS", "check its address")
    rate_ghps = number(info.get("hashRate"))
    return Reading(
        kind=KIND,
        model=text(info.get("deviceModel")) or text(info.get("ASICModel")),
        firmware=text(info.get("version")),
        hostname=text(info.get("hostname")),
        rate_hps=None if rate_ghps is None else rate_ghps * _GIGA,
        temp_c=positive(info.get("temp"), MOST_TEMP_C),
        vr_temp_c=positive(info.get("vrTemp"), MOST_TEMP_C),
        power_w=positive(info.get("power")),
        fan_rpm=number(info.get("fanrpm")),
        uptime_secs=number(info.get("uptimeSeconds")),
        shares_accepted=whole(info.get("sharesAccepted")),
        shares_rejected=whole(info.get("sharesRejected")),
        best_session_difficulty=difficulty(info.get("bestSessionDiff")),
        best_ever_difficulty=difficulty(info.get("bestDiff")),
        pools=_pools(info),
        overheated=_is_set(info.get("overheat_mode")) or _is_set(info.get("shutdown")),
    )


def difficulty(value: Any) -> float | None:
    """A number, or a text such as "4.29G"; None if it is neither."""
    match = _SCALED.fullmatch(value) if isinstance(value, str) else None
    return number(value) if match is None else number(float(match[1]) * _SCALES[match[2].lower()])


def _pools(info: Mapping[str, Any]) -> tuple[str, ...]:
    stratum = info.get("stratum")
    manager = stratum if isinstance(stratum, dict) else {}
    first = pool(info.get("stratumURL"), info.get("stratumPort"))
    second = pool(info.get("fallbackStratumURL"), info.get("fallbackStratumPort"))
    if number(manager.get("activePoolMode")) == 1:
        return tuple(each for each in (first, second) if each)
    on_second = _is_set(info.get("isUsingFallbackStratum")) or _is_set(manager.get("usingFallback"))
    used = second if on_second else first
    return (used,) if used else ()


def _is_set(value: Any) -> bool:
    return value is True or bool(number(value))
