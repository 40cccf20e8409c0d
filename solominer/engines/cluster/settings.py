"""What the head of a cluster is told about it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Servers, and what the nodes must have in common. `replicas` is how many servers keep each message.

    `jobs_file` keeps jobs over a restart of the daemon; with `has_standby` the servers have a copy of it. `node_names`
    reads which nodes the cluster has now.
    """

    servers: tuple[str, ...]
    network: str
    tls: ssl.SSLContext
    jobs_file: Path | None = None
    replicas: int = 1
    has_standby: bool = False
    node_names: Callable[[], Iterable[str]] = tuple
