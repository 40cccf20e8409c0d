"""`solominer doctor`: checks this machine and every configured node."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from solominer.config.models import Config
from solominer.config.paths import default_cache_dir
from solominer.daemon.nodes import configured_nodes, private_settings
from solominer.doctor.check import Check, CheckOutcome, Finding, ok, run_checks, skipped
from solominer.doctor.gpu_checks import examine_gpus
from solominer.doctor.listener_checks import examine_listeners
from solominer.doctor.machine_checks import machine_checks
from solominer.doctor.network_checks import chain_check
from solominer.doctor.node_checks import NodeUnderTest
from solominer.doctor.pool_checks import examine_pools
from solominer.engines.cluster.packages import need_packages
from solominer.node.client import NodeSettings
from solominer.node.private.bitcoind import find_bitcoind
from solominer.node.private.node import PrivateNode


def examine(config: Config, config_path: Path | None, *, listen_secs: float = 1.0) -> Iterator[Finding]:
    """Run all checks and yield each finding at once. Without a configured node, a private one is started."""
    yield from run_checks(machine_checks(config, config_path))
    yield from examine_gpus(config)
    yield from _examine_nodes(config, listen_secs)
    yield from examine_listeners(config)
    yield from examine_pools(config)
    if config.cluster.servers:
        yield from _examine_cluster(config)


def _examine_cluster(config: Config) -> Iterator[Finding]:
    def packages() -> CheckOutcome:
        need_packages()
        return ok("installed")

    (finding,) = run_checks([Check("packages", packages)], "cluster")
    yield finding
    if finding.status == "ok":
        from solominer.doctor.cluster_checks import examine_cluster

        yield from examine_cluster(config)


def _examine_nodes(config: Config, listen_secs: float) -> Iterator[Finding]:
    if config.mode_rules.simulated:
        yield from run_checks([Check("node", lambda: skipped("demo mode uses no node"))])
    elif config.mode_rules.at_a_pool:
        why = "mode pool uses no node; solominer try-stratum HOST:PORT tests a pool"
        yield from run_checks([Check("node", lambda: skipped(why))])
    elif config.wants_private_node:
        yield from _private_node(config, listen_secs)
    else:
        nodes = configured_nodes(config)
        for settings in nodes:
            yield from examine_node(settings, config, listen_secs)
        for settings in nodes[1:]:
            yield from _compare(nodes[0], settings)


def examine_node(settings: NodeSettings, config: Config, listen_secs: float) -> Iterator[Finding]:
    """Run all checks of one node."""
    tag = config.coinbase_tag.encode()
    with closing(NodeUnderTest(settings, payees=config.payees, tag=tag, listen_secs=listen_secs)) as node:
        yield from run_checks(node.checks(), settings.name)


def _compare(first: NodeSettings, second: NodeSettings) -> Iterator[Finding]:
    """Check that two nodes are on the same chain."""
    with closing(NodeUnderTest(first)) as one, closing(NodeUnderTest(second)) as other:
        yield from run_checks([chain_check(other, one)], second.name)


@contextmanager
def throwaway_node(config: Config) -> Iterator[NodeSettings]:
    """Start a private node as `run` does, in a temporary folder that is removed at exit. Raises BitcoindNotFound."""
    cache_dir = default_cache_dir()
    binary = find_bitcoind(config.bitcoind, cache_dir / "bitcoind", report=lambda line: None)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="doctor-", dir=cache_dir) as folder,
        PrivateNode(binary, Path(folder), chain=config.chain.chain) as node,
    ):
        yield private_settings(node, config)


def _private_node(config: Config, listen_secs: float) -> Iterator[Finding]:
    def found() -> CheckOutcome:
        binary = find_bitcoind(config.bitcoind, default_cache_dir() / "bitcoind", report=lambda line: None)
        return ok(f"bitcoind {binary.version} ({binary.origin})")

    (finding,) = run_checks([Check("bitcoind", found)])
    yield finding
    if finding.status == "ok":
        with throwaway_node(config) as settings:
            yield from examine_node(settings, config, listen_secs)
