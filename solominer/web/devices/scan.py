"""Looks for miners in a subnet that a person names. Each address is asked once, and nothing is changed on any."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any

from solominer.errors import ConfigError
from solominer.web.devices import axeos, pyasic_client
from solominer.web.devices.reading import DeviceFailed, Reading

LEAST_PREFIX = 22
MOST_AT_A_TIME = 48
TIMEOUT_SECS = 2.0
MINER_PORT = 4028
"""The port of cgminer's API, on which Antminer, Whatsminer and Avalon answer."""


@dataclass(frozen=True, slots=True)
class Found:
    """A miner at `host`. `reading` is None where only its port is known."""

    host: str
    reading: Reading | None


def subnet(text: str) -> IPv4Network:
    """The network, such as 192.168.1.0/24. Raises ConfigError unless it is private and has at most 1024 addresses."""
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ConfigError("that is not a subnet", "write it as 192.168.1.0/24") from None
    if not isinstance(network, IPv4Network):
        raise ConfigError("an IPv6 subnet has too many addresses to ask", "write an IPv4 subnet, as 192.168.1.0/24")
    if not network.is_private:
        raise ConfigError(f"{network} is not a private subnet", "name the subnet of your own network")
    if network.prefixlen < LEAST_PREFIX:
        todo = f"name a subnet with /{LEAST_PREFIX} or a larger number"
        raise ConfigError(f"{network} has {network.num_addresses:,} addresses, more than 1,024", todo)
    return network


async def scan(network: IPv4Network, http_port: int = 80, miner_port: int = MINER_PORT) -> AsyncIterator[Found]:
    """Every miner in the subnet, in the order of their answers."""
    slots = asyncio.Semaphore(MOST_AT_A_TIME)

    async def look(host: str) -> Found | None:
        async with slots:
            with suppress(DeviceFailed):
                return Found(host, await axeos.read(host, http_port, TIMEOUT_SECS))
            return Found(host, None) if await _is_open(host, miner_port) else None

    for looking in asyncio.as_completed([look(str(host)) for host in network.hosts()]):
        if (found := await looking) is not None:
            yield found


async def _is_open(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_SECS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


def settings(found: list[Found]) -> list[dict[str, Any]]:
    """The setting `devices`, with the devices' own names where these differ."""
    names = Counter(each.reading.hostname for each in found if each.reading is not None)
    return [_setting(each, names) for each in found]


def _setting(found: Found, names: Counter[str]) -> dict[str, Any]:
    if found.reading is None:
        return {"host": found.host, "kind": pyasic_client.KIND}
    name = found.reading.hostname[:60]
    return {"host": found.host, **({"name": name} if name and names[name] == 1 else {}), "kind": axeos.KIND}
