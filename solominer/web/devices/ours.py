"""Whether a device mines on this solominer: its pool against the addresses of our Stratum server."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import psutil

from solominer.config.forms import is_address
from solominer.web.devices.reading import pool


class OurPlaces:
    """Where our Stratum server can be reached. `urls` are its addresses; `names` further host names of this machine."""

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
