"""TCP ports for what a test starts."""

from __future__ import annotations

import random
import socket

_BELOW_EPHEMERAL = range(15_000, 32_000)
"""The system gives none of these away by itself: an outgoing connection of another test cannot take one meanwhile."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago, all different."""
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
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
