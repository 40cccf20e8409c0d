"""`solominer init`: probe nodes, write config.json, and list missing lines of bitcoin.conf."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from solominer.chain.fields import MAX_HEIGHT
from solominer.chain.networks import NETWORK_OF_CHAIN, network_named
from solominer.config.forms import bracketed
from solominer.config.load import load_config
from solominer.config.models import Config, RpcConfig, ZmqConfig
from solominer.config.modes import MODES
from solominer.config.paths import absolute, presence
from solominer.daemon.nodes import SOCKET_NAME, node_settings
from solominer.errors import (
    ConfigError,
    MethodNotAllowed,
    NodeAuthFailed,
    NodeError,
    NodeUnreachable,
    RpcFailed,
    SolominerError,
)
from solominer.node.health import one_line, pin_network, version_of
from solominer.node.payout import payout_to
from solominer.node.rpc import RpcClient
from solominer.node.zmq_hints import ip_versions, published_by
from solominer.node.zmq_probe import listen
from solominer.records.tree import atomic_write
from solominer.setup.find_nodes import NodeCandidate, NodeLogin

MODE_OF_NETWORK = {"mainnet": "production", "testnet3": "testnet4", "testnet4": "testnet4", "signet": "signet"} | {
    "regtest": "regtest"
}
DEFAULT_ZMQ = {"hashblock": "tcp://127.0.0.1:28332", "sequence": "tcp://127.0.0.1:28333"}
_ZMQ_REASON = {
    "hashblock": "notifies of new blocks within milliseconds; without it, they are detected by polling",
    "sequence": "notifies of disconnected blocks, and reveals lost messages",
}
_RESERVED_WEIGHT_SINCE = 290_000
_ZMQ_CONNECT_SECS = 1.0
_CONNECT_SECS = 2.0


@dataclass(frozen=True, slots=True)
class Probed:
    """Result of probing a node. `problem` is why it cannot be used, or ''; `error` is the class of the error.

    `zmq` has its reachable ZMQ addresses, `unreachable` the others, by topic.
    """

    rpc: RpcConfig
    network: str
    origin: str
    problem: str = ""
    height: int = 0
    version: int = 0
    name: str = ""
    zmq: ZmqConfig = field(default_factory=ZmqConfig)
    sets_reserved_weight: bool = False
    error: type[SolominerError] | None = None
    unreachable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MissingLine:
    """A line to add to bitcoin.conf, and the reason."""

    line: str
    reason: str


def probe(candidate: NodeCandidate, more: Sequence[NodeLogin] = ()) -> Probed:
    """Probe each address of a node with each login, its own and `more`, until one works."""
    origin = f"{candidate.datadir} ({'running' if candidate.running else 'data directory'})"
    reserved = candidate.conf.get("blockreservedweight", candidate.network) is not None
    failures: list[Probed] = []
    for host, port in candidate.addresses:
        for login in (*candidate.logins, *more):
            rpc = candidate.rpc(host, port, login)
            if rpc is None:
                continue
            tried = probe_rpc(rpc, candidate.network, origin, sets_reserved_weight=reserved)
            if not tried.problem:
                return _with_socket(tried, candidate)
            failures.append(tried)
            if tried.error is NodeUnreachable:
                break  # another login does not help
    if failures:
        return next((each for each in failures if each.error is not NodeUnreachable), failures[0])
    host, port = next((each for each in candidate.addresses if _listens(*each)), ("", 0))
    cookie = f"no cookie at {candidate.cookie_file}" if candidate.cookie_file else "no cookie (norpccookiefile is set)"
    why = f"{cookie}, and no rpcpassword in bitcoin.conf"
    if not port:
        where = RpcConfig(port=candidate.port)
        why = f"{why}; and it does not accept connections: start it with server=1"
        return Probed(where, candidate.network, origin, problem=why, error=NodeUnreachable)
    where = RpcConfig(host=host, port=port)
    return Probed(where, candidate.network, origin, problem=f"{why}: pass --username", error=NodeAuthFailed)


def _with_socket(node: Probed, candidate: NodeCandidate) -> Probed:
    """With the socket of the node's mining interface, if there is one."""
    socket_path = candidate.chain_dir / SOCKET_NAME
    if not socket_path.is_socket():
        return node
    return replace(node, rpc=node.rpc.model_copy(update={"ipc_socket": socket_path}))


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _CONNECT_SECS).close()
    except (OSError, ValueError):  # the latter for a name that cannot be encoded
        return False
    return True


def probe_rpc(rpc: RpcConfig, network: str, origin: str, *, sets_reserved_weight: bool = False) -> Probed:
    """Connect to a node, check that it is on `network`, and get its ZMQ addresses."""
    config = _config_for(network, bitcoin_rpc=rpc)
    try:
        with node_settings(config, rpc, config.zmq).connect() as client:
            chain = pin_network(client, network_named(network))
            net = client.ask_optional("getnetworkinfo", instead={})
            zmq, unreachable = _published(client, rpc.host)
            return Probed(
                rpc,
                network,
                origin,
                height=chain["blocks"].integer(0, MAX_HEIGHT),
                version=net["version"].integer(0, MAX_HEIGHT) if net.value else 0,
                name=version_of(net),
                zmq=zmq,
                sets_reserved_weight=sets_reserved_weight,
                unreachable=unreachable,
            )
    except (ConfigError, NodeError) as error:
        return Probed(rpc, network, origin, problem=one_line(error), error=type(error))


def network_of(rpc: RpcConfig) -> str:
    """The network of a node. Raises NodeError or ConfigError."""
    with node_settings(_config_for("mainnet", bitcoin_rpc=rpc), rpc, ZmqConfig()).connect() as client:
        chain = client.ask("getblockchaininfo")["chain"].text()
    return NETWORK_OF_CHAIN[chain].name if chain in NETWORK_OF_CHAIN else network_named(chain).name


def _published(client: RpcClient, host: str) -> tuple[ZmqConfig, dict[str, str]]:
    """The node's reachable ZMQ addresses, and by topic those that are not."""
    try:
        published = published_by(client)
    except (RpcFailed, MethodNotAllowed):  # built without ZMQ, or not in rpcwhitelist
        return ZmqConfig(), {}
    reached, unreachable = {}, {}
    for topic in DEFAULT_ZMQ:
        addresses = published.get(topic, [])
        for address in dict.fromkeys(choice for each in addresses for choice in zmq_choices(each, host)):
            if _answers(address, topic):
                reached[topic] = address
                break
        else:
            if addresses:
                unreachable[topic] = addresses[0]
    return ZmqConfig(**reached), unreachable


def _answers(address: str, topic: str) -> bool:
    try:
        ZmqConfig(hashblock=address)
        return listen(address, topic, connect_secs=_ZMQ_CONNECT_SECS, listen_secs=0).connected
    except ValueError:
        return False


def zmq_choices(address: str, host: str) -> list[str]:
    """Addresses to try for a publisher bound to `address` on a node with RPC host `host`, likeliest first.

    It may be bound to a wildcard (`*`, `0.0.0.0`, `[::]`) or to a network interface by name.
    """
    bound, _, port = address.removeprefix("tcp://").rpartition(":")
    if not address.startswith("tcp://"):
        return [address]
    of_host = f"tcp://{bracketed(host)}:{port}"
    if bound in ("0.0.0.0", "*") and ":" in host:  # IPv4 only
        return [f"tcp://127.0.0.1:{port}", of_host]
    if bound in ("0.0.0.0", "*", "[::]"):
        return [of_host]
    return [address, of_host] if len(ip_versions(address)) > 1 else [address]


def missing_lines(node: Probed) -> list[MissingLine]:
    """Lines to add to this node's bitcoin.conf."""
    zmq = node.zmq.model_dump()
    lines = [
        MissingLine(
            f"zmqpub{topic}={address}",
            f"the node publishes at {node.unreachable[topic]}, which is not reachable from this machine"
            if topic in node.unreachable
            else _ZMQ_REASON[topic],
        )
        for topic, address in DEFAULT_ZMQ.items()
        if zmq[topic] is None
    ]
    small = node.network != "signet"  # a block signature may need more than 2000 weight units
    if small and node.version >= _RESERVED_WEIGHT_SINCE and not node.sets_reserved_weight:
        lines.append(
            MissingLine(
                "blockreservedweight=2000",
                "optional: the coinbase needs less than the default of 8000 weight units; more room for fees",
            )
        )
    return lines


def check_payout(node: Probed, address: str) -> None:
    """Validate the payout address with the node. Raises PayoutError or NodeError."""
    config = _config_for(node.network, bitcoin_rpc=node.rpc)
    with node_settings(config, node.rpc, config.zmq).connect() as client:
        payout_to(client, address, config.chain)


def config_values(nodes: Sequence[Probed], payout_address: str, data_dir: Path | None) -> dict[str, Any]:
    """Content of config.json without defaults. The first node becomes the main one."""
    first, *others = nodes
    values: dict[str, Any] = {"mode": MODE_OF_NETWORK[first.network]}
    if MODES[values["mode"]].network != first.network:
        values["network"] = first.network
    values["bitcoin_rpc"] = _rpc_values(first.rpc)
    values["zmq"] = first.zmq.model_dump(exclude_none=True)
    if others:
        values["more_nodes"] = [
            {**_rpc_values(each.rpc), "zmq": each.zmq.model_dump(exclude_none=True)} for each in others
        ]
    if payout_address:
        values["payout_address"] = payout_address
    if data_dir is not None:
        values["data_dir"] = str(absolute(data_dir))
    return values


def _rpc_values(rpc: RpcConfig) -> dict[str, Any]:
    values = rpc.model_dump(mode="json", exclude_defaults=True, exclude={"password"})
    if password := rpc.password.get_secret_value():
        values |= {
            "username": rpc.username,
            "password": password,
        }  # the username may be empty: rpcpassword without rpcuser
    return {"host": rpc.host, **values}


def refuse_existing(path: Path) -> None:
    """Raises ConfigError if the file exists, or this cannot be determined."""
    seen = presence(path)
    if seen.problem:
        raise ConfigError(f"cannot write {path}: {seen.problem}", "choose another path with --config")
    if seen.there:
        raise ConfigError(f"{path} already exists", "choose another path with --config, or replace it with --force")


def write_config(path: Path, values: dict[str, Any]) -> Config:
    """Validate the values and write config.json with permissions 600. Raises ConfigError."""
    config = load_config(overrides=values, environ={})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(values, indent=2).encode() + b"\n", mode=0o600)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "choose another path with --config") from error
    return config


def _config_for(network: str, **values: Any) -> Config:
    mode = MODE_OF_NETWORK[network]
    return Config(mode=mode, network=network, **values)
