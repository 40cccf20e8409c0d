"""The nodes that a run mines on: settings from the configuration, the private node, and the first words with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from solominer.config import Config, NodeConfig, RpcConfig, ZmqConfig, default_cache_dir
from solominer.config.forms import zmq_seen_from
from solominer.dispatch import Link
from solominer.errors import ConfigError, NodeAuthFailed, NodeError, UnsafeConsensus, WrongNetwork
from solominer.modes import MODES
from solominer.node.bitcoind import find_bitcoind
from solominer.node.credentials import CookieFile, Credentials, PasswordFile, UserPassword
from solominer.node.demo import DEMO_PAYOUT_SCRIPT, DemoLink
from solominer.node.link import NodeLink, NodeSettings
from solominer.node.private import PrivateNode, full_block_args
from solominer.work.events import Event
from solominer.work.job import Payout

log = logging.getLogger("solominer.daemon")


async def links_of(config: Config, post: Callable[[Event], None], stack: AsyncExitStack) -> dict[str, Link]:
    """The nodes by name, in order of preference; a private one is started here and stopped by `stack`.

    Raises ConfigError, or what starting the private node raises.
    """
    if config.mode == "demo":
        log.warning("DEMO: a simulated node, a made-up full-size template, real hashing; nothing is ever submitted")
        demo = DemoLink(config.chain, post)
        return {demo.name: demo}
    settings = [await _private_node(config, stack)] if config.wants_private_node else configured_nodes(config)
    if len({each.name for each in settings}) != len(settings):
        raise ConfigError("two nodes have the same name", "give each node in config.json a name of its own")
    return {each.name: NodeLink(each, post) for each in settings}


async def _private_node(config: Config, stack: AsyncExitStack) -> NodeSettings:
    binary = await asyncio.to_thread(find_bitcoind, config.bitcoind, default_cache_dir() / "bitcoind", report=log.info)
    folder = config.records_dir / "private-node"
    node = PrivateNode(binary, folder, chain=config.chain.chain, extra_args=full_block_args(binary.version))
    await asyncio.to_thread(node.start)
    stack.push_async_callback(asyncio.to_thread, node.stop)
    log.info("private node %s (%s) on %s:%d", binary.version, binary.origin, node.rpc_host, node.rpc_port)
    return private_settings(node, config)


def configured_nodes(config: Config) -> list[NodeSettings]:
    """The nodes that `run` would use, in its order. Raises ConfigError where none is named or to be found."""
    if config.nodes:
        return [node_settings(config, node, node.zmq) for node in config.nodes]
    if config.auto_detect:
        return [node_settings(config, RpcConfig(), config.zmq)]
    raise ConfigError("no node is named", "set bitcoin_rpc in config.json, or auto_detect to true")


def private_settings(node: PrivateNode, config: Config) -> NodeSettings:
    """How to reach a private node that runs."""
    return NodeSettings(
        name="private",
        host=node.rpc_host,
        port=node.rpc_port,
        credentials=CookieFile((node.cookie_file,)),
        network=config.chain,
        zmq_hashblock=node.zmq_hashblock,
        zmq_sequence=node.zmq_sequence,
        poll_secs=config.poll_secs,
        submits=MODES[config.mode].submits,
    )


async def await_payout(
    config: Config, links: Mapping[str, Link], stopped: asyncio.Event, waiting: Callable[[str], None]
) -> tuple[Payout, bool] | None:
    """Ask the nodes for the payout's script, for as long as it takes; None if `stopped` meanwhile.

    With it, whether blocks must be signed (a custom signet). `waiting` is told what is waited for. Raises ConfigError,
    PayoutError, or a NodeError where waiting cannot help.
    """
    if config.mode == "demo":
        return Payout(DEMO_PAYOUT_SCRIPT, "nobody (simulation)"), False
    address = config.payout_address
    if not address and not config.wants_private_node and config.chain.name != "regtest":
        raise ConfigError("payout_address is not set", "set it to an address of your own wallet on this network")
    wait_secs, said = 0.5, ""
    while not stopped.is_set():
        for link in links.values():
            assert isinstance(link, NodeLink)
            try:
                return await link.payout(address), await link.must_sign()
            except NodeError as error:
                if len(links) == 1 and _is_final(error, link.settings):
                    raise
                waiting(f"waiting for node {link.name}: {error.what}")
                if error.what != said:
                    log.warning("waiting for node %s: %s", link.name, str(error).replace("\n", " "))
                    said = error.what
        try:
            await asyncio.wait_for(stopped.wait(), wait_secs)
        except TimeoutError:
            wait_secs = min(2 * wait_secs, 10.0)
    return None


def _is_final(error: NodeError, settings: NodeSettings) -> bool:
    """Whether waiting cannot help. A cookie may still come: the node writes it when it starts."""
    if isinstance(error, NodeAuthFailed):
        return not isinstance(settings.credentials, CookieFile)
    return isinstance(error, WrongNetwork | UnsafeConsensus)


def node_settings(config: Config, rpc: RpcConfig | NodeConfig, zmq: ZmqConfig) -> NodeSettings:
    """What the link of one configured node needs to know."""
    return NodeSettings(
        name=config.name_of(rpc),
        host=rpc.host,
        port=rpc.port or config.chain.rpc_port,
        credentials=credentials_of(config, rpc),
        network=config.chain,
        zmq_hashblock=zmq_seen_from(zmq.hashblock, rpc.host),
        zmq_sequence=zmq_seen_from(zmq.sequence, rpc.host),
        poll_secs=config.poll_secs,
        submits=MODES[config.mode].submits,
        timeout_secs=rpc.timeout_secs,
    )


def credentials_of(config: Config, rpc: RpcConfig) -> Credentials:
    """How to get in: password, password file, cookie file, or the cookie of the default data folder."""
    if rpc.password_file is not None:
        return PasswordFile(rpc.username, rpc.password_file)
    if rpc.has_password:
        return UserPassword(rpc.username, rpc.password.get_secret_value())
    if rpc.cookie_file is not None:
        return CookieFile((rpc.cookie_file,))
    if config.auto_detect:
        return CookieFile.of_default_folder(config.chain)
    raise ConfigError("no way into the node is given", "set password_file or cookie_file in bitcoin_rpc")
