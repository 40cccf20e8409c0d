"""A device as the API and `solominer devices list --json` show it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import psutil
from pydantic import BaseModel

from solominer.config.forms import is_address
from solominer.web.devices.device import Device, DeviceState
from solominer.web.devices.reading import Reading, pool


class OurPlaces:
    """Where our Stratum server can be reached, so that a device's pool can be told from it.

    `urls` are its addresses; `names` further host names of this machine.
    """

    def __init__(self, urls: Iterable[str], names: Iterable[str]) -> None:
        places = [_split(pool(url)) for url in urls if "://" in url]
        self._ports = {port for _, port in places}
        self._hosts = {host for host, _ in places} | _own_hosts() | {name.lower() for name in names}

    def has(self, places: Iterable[str]) -> bool | None:
        """Whether one of the pools (HOST:PORT) is ours; None if that cannot be told."""
        found = [self._is_ours(*_split(place)) for place in places]
        if True in found:
            return True
        return False if found and None not in found else None

    def _is_ours(self, host: str, port: str) -> bool | None:
        if port not in self._ports:
            return False
        if host in self._hosts:
            return True
        return False if is_address(host) else None  # a name may be one of ours in the device's eyes


def _split(place: str) -> tuple[str, str]:
    host, _, port = place.rpartition(":")
    return host.strip("[]"), port


def _own_hosts() -> set[str]:
    name = socket.gethostname().lower()
    addresses = {each.address for found in psutil.net_if_addrs().values() for each in found}
    return addresses | {name, f"{name}.local"}


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
