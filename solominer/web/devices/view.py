"""A device as the API and `solominer devices list --json` show it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from pydantic import BaseModel

from solominer.web.devices.device import Device, DeviceState
from solominer.web.devices.ours import OurPlaces
from solominer.web.devices.reading import Reading


class DeviceV1(BaseModel):
    """A device. What it did not say is null or empty; while it is offline, so is everything that it measures.

    `state` is null until it is known, `seen_at` the last answer (Unix seconds). `failures` are failed polls in a
    row, `problem` says why the last one failed. Shares and `best_session_difficulty` are since the device's start.
    `pools` are those that it mines on; `mines_here` is null where that cannot be told.
    """

    name: str
    host: str
    kind: str
    state: DeviceState | None
    seen_at: float | None
    failures: int
    problem: str
    model: str
    firmware: str
    hostname: str
    rate_hps: float | None
    temp_c: float | None
    hot_c: float | None
    vr_temp_c: float | None
    power_w: float | None
    j_per_th: float | None
    fan_rpm: float | None
    uptime_secs: float | None
    shares_accepted: int | None
    shares_rejected: int | None
    best_session_difficulty: float | None
    best_ever_difficulty: float | None
    pools: list[str]
    mines_here: bool | None


_MEASURED = ("rate_hps", "temp_c", "vr_temp_c", "power_w", "fan_rpm", "uptime_secs")


def view(device: Device, places: OurPlaces | None = None) -> DeviceV1:
    """A device as it is now. `places`: where our Stratum server is, if that is known."""
    config, said = device.config, device.reading or Reading(device.config.kind)
    if device.state is DeviceState.OFFLINE:
        unknown: dict[str, Any] = dict.fromkeys(_MEASURED)
        said = replace(said, **unknown)
    return DeviceV1(
        **asdict(said),
        name=config.label,
        host=config.host,
        state=device.state,
        seen_at=device.seen_at,
        failures=device.failures,
        problem=device.problem,
        hot_c=device.hot_c,
        j_per_th=said.j_per_th,
        mines_here=None if places is None else places.has(said.pools),
    )
