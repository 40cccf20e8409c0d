"""A device as the API and `solominer devices list --json` show it."""

from __future__ import annotations

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


def view(device: Device, places: OurPlaces | None = None) -> DeviceV1:
    """A device as it is now. `places`: where our Stratum server is, if that is known."""
    config, said = device.config, device.reading or Reading(device.config.kind)
    measured = Reading(said.kind) if device.state is DeviceState.OFFLINE else said
    return DeviceV1(
        name=config.label,
        host=config.host,
        kind=said.kind,
        state=device.state,
        seen_at=device.seen_at,
        failures=device.failures,
        problem=device.problem,
        model=said.model,
        firmware=said.firmware,
        hostname=said.hostname,
        rate_hps=measured.rate_hps,
        temp_c=measured.temp_c,
        hot_c=device.hot_c,
        vr_temp_c=measured.vr_temp_c,
        power_w=measured.power_w,
        j_per_th=measured.j_per_th,
        fan_rpm=measured.fan_rpm,
        uptime_secs=measured.uptime_secs,
        shares_accepted=said.shares_accepted,
        shares_rejected=said.shares_rejected,
        best_session_difficulty=said.best_session_difficulty,
        best_ever_difficulty=said.best_ever_difficulty,
        pools=list(said.pools),
        mines_here=None if places is None else places.has(said.pools),
    )
