"""Where listeners are: what a person types into a miner, and who has a Unix socket."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from pathlib import Path

import psutil

from solominer.config.forms import bracketed

MOST = 4
_EVERYWHERE = {"0.0.0.0": socket.AF_INET, "[::]": socket.AF_INET6}


def reachable(url: str) -> list[str]:
    """`url`, or where it listens on all addresses one for each address of this machine that others may reach."""
    scheme, separator, place = url.partition("://")
    host, _, port = place.rpartition(":")
    family = _EVERYWHERE.get(host)
    if not separator or family is None:
        return [url]
    return [f"{scheme}://{bracketed(each)}:{port}" for each in _addresses(family)[:MOST]] or [url]


def listens_on(path: Path) -> bool:
    """Whether a program listens on this Unix socket; False for what is none or was left behind."""
    with socket.socket(socket.AF_UNIX) as other:
        other.setblocking(False)
        return path.is_socket() and other.connect_ex(str(path)) in (0, errno.EAGAIN)  # EAGAIN: its backlog is full


def _addresses(family: int) -> list[str]:
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if name in up and each.family == family and "%" not in each.address:
                address = ip_address(each.address)
                if not (address.is_loopback or address.is_link_local):
                    found.append(each.address)
    return found
