"""`solominer doctor`: every check that somebody who knows mining would ask for, of the machine and of each node."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solominer.config import Config, RpcConfig, default_cache_dir
from solominer.connect import node_settings
from solominer.errors import ConfigError
from solominer.node.bitcoind import find_bitcoind
from solominer.node.credentials import CookieFile
from solominer.node.link import NodeSettings
from solominer.node.private import PrivateNode
from solominer.operate.findings import Check, Finding, Outcome, ok, run_checks, skipped
from solominer.operate.machine import machine_checks
from solominer.operate.nodechecks import NodeUnderTest


def examine(config: Config, config_path: Path | None, *, listen_secs: float = 1.0) -> Iterator[Finding]:
    """Every finding as soon as there is one; the private node of a config that names none is started for it."""
    yield from run_checks(machine_checks(config, config_path))
    if config.mode == "demo":
        yield from run_checks([Check("node", lambda: skipped("demo mode uses none"))])
    elif config.wants_private_node:
        yield from _private_node(config, listen_secs)
    else:
        for settings in configured_nodes(config):
            yield from examine_node(settings, config, listen_secs)


def examine_node(settings: NodeSettings, config: Config, listen_secs: float) -> Iterator[Finding]:
    """All checks of one node."""
    node = NodeUnderTest(
        settings,
        payout_address=config.payout_address,
        tag=config.coinbase_tag.encode(),
        listen_secs=listen_secs,
    )
    try:
        yield from run_checks(node.checks(), settings.name)
    finally:
        node.close()


def configured_nodes(config: Config) -> list[NodeSettings]:
    """The nodes that `run` would use, in its order. Raises ConfigError where none is named or to be found."""
    if config.bitcoin_rpc is not None:
        first = node_settings(config, config.bitcoin_rpc, config.zmq)
        return [first, *(node_settings(config, node, node.zmq) for node in config.more_nodes)]
    if config.auto_detect:
        return [node_settings(config, RpcConfig(), config.zmq)]
    raise ConfigError("no node is named", "set bitcoin_rpc in config.json, or auto_detect to true")


@contextmanager
def throwaway_node(config: Config) -> Iterator[NodeSettings]:
    """A private node in a temporary folder, as `run` would start it; gone afterwards. Raises BitcoindNotFound."""
    cache_dir = default_cache_dir()
    binary = find_bitcoind(config.bitcoind, cache_dir / "bitcoind", report=lambda line: None)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="doctor-", dir=cache_dir) as folder,
        PrivateNode(binary, Path(folder), chain=config.chain.chain) as node,
    ):
        yield NodeSettings(
            name="private",
            host=node.rpc_host,
            port=node.rpc_port,
            credentials=CookieFile((node.cookie_file,)),
            network=config.chain,
            zmq_hashblock=node.zmq_hashblock,
            zmq_sequence=node.zmq_sequence,
        )


def _private_node(config: Config, listen_secs: float) -> Iterator[Finding]:
    def found() -> Outcome:
        binary = find_bitcoind(config.bitcoind, default_cache_dir() / "bitcoind", report=lambda line: None)
        return ok(f"bitcoind {binary.version} ({binary.origin})")

    (finding,) = run_checks([Check("bitcoind", found)])
    yield finding
    if finding.status == "ok":
        with throwaway_node(config) as settings:
            yield from examine_node(settings, config, listen_secs)
