"""What `solominer cluster init` is to make, from its options, the configuration and an earlier call."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from solominer.chain.script import payout_type
from solominer.config.cluster import DEFAULT_PORT, server_url
from solominer.config.models import Config
from solominer.errors import ConfigError
from solominer.setup.cluster.folder import Cluster, ClusterFolder
from solominer.setup.cluster.payees import payout_scripts_of


def wanted_cluster(
    config: Config,
    folder: ClusterFolder,
    servers: Sequence[str],
    payout_scripts: Sequence[str],
    server_files: str | None,
    server_store: str | None,
) -> Cluster:
    """The options first; without them what is there already, and at last the configuration and this machine.

    Raises ConfigError, PayoutError or NodeError.
    """
    old = folder.read() if folder.is_there else None
    urls = _urls(servers)
    if not urls and not config.cluster.is_embedded:
        urls = config.cluster.servers
    if not urls:
        urls = old.servers if old else (f"nats://{socket.gethostname()}:{DEFAULT_PORT}",)
    files = server_files or (old.server_files if old else str(folder.path))
    store = server_store or (old.server_store if old else f"{files}/jetstream")
    scripts = _scripts(payout_scripts) if payout_scripts else payout_scripts_of(config)
    return Cluster(config.chain.name, urls, scripts, files, store)


def _urls(servers: Sequence[str]) -> tuple[str, ...]:
    try:
        urls = tuple(map(server_url, servers))
    except ValueError as error:
        raise ConfigError(f"--server: {error}", "as in --server nats://head.lan:4222") from None
    if len(set(urls)) != len(urls) or len(urls) == 2:
        raise ConfigError(
            "--server: give one server, or three or more different ones",
            "of two servers neither goes on alone: the data is kept by a majority",
        )
    return urls


def _scripts(texts: Sequence[str]) -> tuple[bytes, ...]:
    try:
        scripts = tuple(map(bytes.fromhex, texts))
    except ValueError:
        raise ConfigError("--payout-script is not hexadecimal", "see scriptPubKey in validateaddress") from None
    for script in scripts:
        payout_type(script)
    return scripts
