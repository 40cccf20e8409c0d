"""The nodes of a run: their settings, the private node, and the payout script."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from solominer.chain.address import address_for
from solominer.config.forms import bracketed, zmq_seen_from
from solominer.config.models import Config, NodeConfig, RpcConfig, ZmqConfig
from solominer.config.paths import default_cache_dir
from solominer.daemon.host_metrics import now
from solominer.errors import ConfigError, NodeError, NodeUnreachable
from solominer.node.client import NodeClient, NodeSettings
from solominer.node.credentials import CookieFile, Credentials, PasswordFile, UserPassword
from solominer.node.demo import DemoNode
from solominer.node.private.bitcoind import find_bitcoind
from solominer.node.private.node import PrivateNode, full_block_args
from solominer.node.rpc import RpcClient
from solominer.work.events import Event
from solominer.work.payout import Payout, split
from solominer.work.ports import Node
from solominer.work.raw_template import Reserve

T = TypeVar("T")

SOCKET_NAME = "node.sock"
_OUTPUT_WEIGHT = 4 * (8 + 1 + 34)
_OTHER_WEIGHT = 1400
"""Of header, number of transactions, and a coinbase with the longest scriptSig but no payee: at most 1,200."""
_LEAST_WEIGHT = 2000
"""What the node takes at least (MINIMUM_BLOCK_RESERVED_WEIGHT)."""

log = logging.getLogger("solominer.daemon.daemon")


async def nodes_of(config: Config, post: Callable[[Event], None], stack: AsyncExitStack) -> dict[str, Node]:
    """The nodes by name, in order of preference. A private node is started, and stopped by `stack`.

    Raises ConfigError, or the errors of `PrivateNode.start`.
    """
    if config.mode_rules.simulated:
        log.warning("DEMO: simulated node and templates, real hashing; nothing is submitted")
        demo = DemoNode(config.chain, post, clock=now)
        return {demo.name: demo}
    settings = [await _private_node(config, stack)] if config.wants_private_node else configured_nodes(config)
    if len({each.name for each in settings}) != len(settings):
        raise ConfigError("two nodes have the same name", "set a different name for each node in config.json")
    return {each.name: NodeClient(each, post, now) for each in settings}


async def _private_node(config: Config, stack: AsyncExitStack) -> NodeSettings:
    binary = await asyncio.to_thread(find_bitcoind, config.bitcoind, default_cache_dir() / "bitcoind", report=log.info)
    folder = config.records_dir / "private-node"
    node = PrivateNode(binary, folder, chain=config.chain.chain, extra_args=full_block_args(binary.version))
    await asyncio.to_thread(node.start)
    stack.push_async_callback(asyncio.to_thread, node.stop)
    log.info("private node %s (%s) on %s:%d", binary.version, binary.origin, bracketed(node.rpc_host), node.rpc_port)
    return private_settings(node, config)


def configured_nodes(config: Config) -> list[NodeSettings]:
    """Settings of the nodes that `run` uses, in order of preference. Raises ConfigError if there are none."""
    if config.nodes:
        return [node_settings(config, node, node.zmq) for node in config.nodes]
    if config.auto_detect:
        return [node_settings(config, RpcConfig(), config.zmq)]
    raise ConfigError("no node is configured", "set bitcoin_rpc in config.json, or auto_detect to true")


def from_first(nodes: Iterable[NodeSettings], read: Callable[[RpcClient], T]) -> T:
    """What `read` returns with the first node that answers. Raises the NodeError of the first one if none does."""
    problem: NodeError | None = None
    for node in nodes:
        try:
            with node.connect() as client:
                return read(client)
        except NodeError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def private_settings(node: PrivateNode, config: Config) -> NodeSettings:
    """Settings of a running private node."""
    return NodeSettings(
        name="private",
        host=node.rpc_host,
        port=node.rpc_port,
        credentials=CookieFile((node.cookie_file,)),
        network=config.chain,
        zmq_hashblock=node.zmq_hashblock,
        zmq_sequence=node.zmq_sequence,
        poll_secs=config.poll_secs,
        submits=config.mode_rules.submits,
    )


async def await_payout(
    config: Config, nodes: Mapping[str, Node], stopped: asyncio.Event, waiting: Callable[[str], None]
) -> tuple[Payout, bool] | None:
    """Get the scripts of all payees from a node, and whether blocks must be signed (custom signet).

    Retries until a node answers; returns None once `stopped` is set. `waiting` is called with a status line.
    Raises ConfigError, PayoutError, or a NodeError that retrying cannot resolve.
    """
    for address, _ in config.payees if config.mode_rules.node != "none" else ():
        if address:
            address_for(address, config.chain)  # told now, though no node may answer for hours
        elif config.chain.name != "regtest":
            raise ConfigError("payout_address is not set", "set it to an address of your own wallet on this network")
    wait_secs, logged = 0.5, ""
    while not stopped.is_set():
        for node in nodes.values():
            try:
                return await _payout(config, node), await node.must_sign()
            except NodeError as error:
                if len(nodes) == 1 and not node.may_recover(error):
                    raise
                waiting(f"waiting for node {node.name}: {error.what}")
                if error.what != logged:
                    log.warning("waiting for node %s: %s", node.name, str(error).replace("\n  ", " "))
                    logged = error.what
        try:
            await asyncio.wait_for(stopped.wait(), wait_secs)
        except TimeoutError:
            wait_secs = min(2 * wait_secs, 10.0)
    return None


async def _payout(config: Config, node: Node) -> Payout:
    """The configured payout, with the scripts from this node. Raises PayoutError or NodeError."""
    if config.mode_rules.simulated:
        return await node.payout("")
    return split([(await node.payout(address), points) for address, points in config.payees])


async def payout_of(address: str, nodes: Iterable[Node]) -> Payout:
    """The payout of a miner's address, from the first node that answers. Raises PayoutError or NodeError."""
    problem: NodeError = NodeUnreachable("no node is connected yet")
    for node in nodes:
        try:
            return await node.payout(address)
        except NodeError as error:
            problem = error
    raise problem


def node_settings(config: Config, rpc: RpcConfig | NodeConfig, zmq: ZmqConfig) -> NodeSettings:
    """Client settings of one configured node."""
    return NodeSettings(
        name=config.name_of(rpc),
        host=rpc.host,
        port=rpc.port or config.chain.rpc_port,
        credentials=credentials_of(config, rpc),
        network=config.chain,
        zmq_hashblock=zmq_seen_from(zmq.hashblock, rpc.host),
        zmq_sequence=zmq_seen_from(zmq.sequence, rpc.host),
        poll_secs=config.poll_secs,
        submits=config.mode_rules.submits,
        timeout_secs=rpc.timeout_secs,
        ipc_socket=ipc_socket_of(config, rpc),
        reserve=reserve_of(config),
    )


def reserve_of(config: Config) -> Reserve:
    """The space that templates by IPC reserve for the coinbase: what its outputs need, as the rest earns fees."""
    needed = _OTHER_WEIGHT + _OUTPUT_WEIGHT * len(config.payees)
    return Reserve(weight=max(_LEAST_WEIGHT, needed))


def ipc_socket_of(config: Config, rpc: RpcConfig) -> Path | None:
    """The socket of the node's mining interface: as configured, or where one is; None if templates come by RPC.

    A group's coinbase has as many outputs as it has members, and only by RPC does the node's blockreservedweight apply.
    """
    if config.template_source == "rpc" or any(listener.payout == "group" for listener in config.stratum):
        return None
    if rpc.ipc_socket is not None:
        return rpc.ipc_socket
    places = likely_sockets(config, rpc)
    found = next((path for path in places if path.is_socket()), None)
    wanted = places[0] if places and config.template_source == "ipc" else None
    return found or wanted


def likely_sockets(config: Config, rpc: RpcConfig) -> list[Path]:
    """Where a node on this machine has its socket: beside its cookie, or in a default data directory."""
    if rpc.cookie_file is not None:
        return [rpc.cookie_file.with_name(SOCKET_NAME)]
    if not config.auto_detect or rpc.host not in ("127.0.0.1", "localhost", "::1"):
        return []
    return [cookie.with_name(SOCKET_NAME) for cookie in CookieFile.of_default_folder(config.chain).paths]


def credentials_of(config: Config, rpc: RpcConfig) -> Credentials:
    """The node's credentials: password, password file, cookie file, or the cookie in the default data directory."""
    if rpc.password_file is not None:
        return PasswordFile(rpc.username, rpc.password_file)
    if rpc.has_password:
        return UserPassword(rpc.username, rpc.password.get_secret_value())
    if rpc.cookie_file is not None:
        return CookieFile((rpc.cookie_file,))
    if config.auto_detect:
        return CookieFile.of_default_folder(config.chain)
    raise ConfigError("no RPC credentials are configured", "set password_file or cookie_file in bitcoin_rpc")
