"""Host and Origin headers, and client addresses. All of them are foreign text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.requests import HTTPConnection

_HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::\d{1,5})?", re.ASCII | re.IGNORECASE)
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})


def host_of(header: str | None) -> str | None:
    """The name or address in a Host header, in lower case without port and brackets; None if it is not valid."""
    match = _HOST.fullmatch(header or "")
    return None if match is None else (match[1] or match[2]).lower().rstrip(".")


def address_of(host: str | None) -> IPv4Address | IPv6Address | None:
    """An IP address; None for anything else. IPv4 addresses mapped into IPv6 are IPv4 addresses."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str | None) -> bool:
    """Whether this host is this machine: `localhost` or a loopback address."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


def is_known(host: str, names: Iterable[str]) -> bool:
    """Whether the page may be opened under this host: no page of another site can have it (DNS rebinding)."""
    return host == "localhost" or address_of(host) is not None or host in names


def is_same_origin(origin: str, host_header: str) -> bool:
    """Whether an Origin is that of this server. The scheme is not compared: a proxy may have ended TLS."""
    scheme, _, place = origin.lower().partition("://")
    return scheme in ("http", "https") and place == host_header.lower()


def was_forwarded(connection: HTTPConnection) -> bool:
    """Whether a proxy has passed this request on, as its headers tell."""
    return any(name in _FORWARDED or name.startswith("x-forwarded-") for name in connection.headers)


def network_key(host: str | None) -> str:
    """What limits count as one client: an IPv4 address, or the /64 of an IPv6 address."""
    address = address_of(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return "unknown" if address is None else str(address)
