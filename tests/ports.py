"""TCP ports for what a test starts."""

from __future__ import annotations

import random
import socket
from functools import cache

_BELOW_EPHEMERAL = range(15_000, 32_000)
"""The system gives none of these away by itself: an outgoing connection of another test cannot take one meanwhile."""


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago on 127.0.0.1 and, where there is IPv6, on ::1; all different."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_BELOW_EPHEMERAL)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    hosts = [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
    try:
        for host, family in hosts if has_ipv6() else hosts[:1]:
            socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True


@cache
def has_ipv6() -> bool:
    """Whether this machine has an address of its own in IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
