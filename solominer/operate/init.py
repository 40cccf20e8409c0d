"""`solominer init`: from the nodes that are there to a config.json that mines, and what bitcoin.conf lacks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solominer.chain.networks import network_named
from solominer.config import Config, RpcConfig, ZmqConfig, load_config
from solominer.connect import node_settings
from solominer.errors import ConfigError, NodeError, RpcFailed
from solominer.modes import MODES
from solominer.node.health import one_line, pin_network
from solominer.node.payout import payout_to
from solominer.node.rpc import RpcClient, field_of
from solominer.operate.findnodes import Candidate
from solominer.records.tree import temporary_beside

MODE_OF_NETWORK = {"mainnet": "production", "testnet3": "testnet4", "testnet4": "testnet4", "signet": "signet"} | {
    "regtest": "regtest"
}
DEFAULT_ZMQ = {"hashblock": "tcp://127.0.0.1:28332", "sequence": "tcp://127.0.0.1:28333"}
_ZMQ_REASON = {
    "hashblock": "tells of a new block within milliseconds; without it tips come by long poll and polling",
    "sequence": "tells of blocks that are taken back, and shows gaps in what was heard",
}
_RESERVED_WEIGHT_SINCE = 290_000


@dataclass(frozen=True, slots=True)
class Probed:
    """A node that was tried. `problem` is why it cannot be used, or ''. `zmq` is where we can hear it."""

    rpc: RpcConfig
    network: str
    origin: str
    problem: str = ""
    height: int = 0
    version: int = 0
    name: str = ""
    zmq: ZmqConfig = field(default_factory=ZmqConfig)
    sets_reserved_weight: bool = False


@dataclass(frozen=True, slots=True)
class MissingLine:
    """A line for bitcoin.conf and why."""

    line: str
    reason: str


def probe(candidate: Candidate) -> Probed:
    """Try a node that was found."""
    origin = f"{candidate.datadir} ({'running' if candidate.running else 'data folder'})"
    rpc = candidate.rpc()
    if rpc is None:
        where = RpcConfig(host=candidate.host, port=candidate.port)
        why = f"no cookie at {candidate.cookie_file} that we can see, and no rpcpassword in bitcoin.conf"
        return Probed(where, candidate.network, origin, problem=f"{why}: is it running with server=1?")
    reserved = candidate.conf.get("blockreservedweight", candidate.network) is not None
    return probe_rpc(rpc, candidate.network, origin, sets_reserved_weight=reserved)


def probe_rpc(rpc: RpcConfig, network: str, origin: str, *, sets_reserved_weight: bool = False) -> Probed:
    """Try one way into a node: is it on `network`, and where does it publish?"""
    config = _config_for(network, bitcoin_rpc=rpc)
    client = node_settings(config, rpc, config.zmq).connect()
    try:
        chain = pin_network(client, network_named(network))
        net = client.call("getnetworkinfo")
        return Probed(
            rpc,
            network,
            origin,
            height=field_of(chain, "blocks", int),
            version=field_of(net, "version", int),
            name=str(net.get("subversion", "")),
            zmq=_published(client, rpc.host),
            sets_reserved_weight=sets_reserved_weight,
        )
    except NodeError as error:
        return Probed(rpc, network, origin, problem=one_line(error))
    finally:
        client.close()


def network_of(rpc: RpcConfig) -> str:
    """Ask a node that was named by hand which network it is on. Raises NodeError or ConfigError."""
    client = node_settings(_config_for("mainnet", bitcoin_rpc=rpc), rpc, ZmqConfig()).connect()
    try:
        chain = field_of(client.call("getblockchaininfo"), "chain", str)
    finally:
        client.close()
    names = {"main": "mainnet", "test": "testnet3"}
    return network_named(names.get(chain, chain)).name


def _published(client: RpcClient, host: str) -> ZmqConfig:
    """Where the node says that it publishes, as an address that we can connect to."""
    try:
        listed = client.call("getzmqnotifications")
    except RpcFailed:
        return ZmqConfig()
    by_type = {str(each.get("type")): str(each.get("address")) for each in listed if isinstance(each, dict)}
    found = {topic: by_type[f"pub{topic}"] for topic in DEFAULT_ZMQ if f"pub{topic}" in by_type}
    return ZmqConfig(**{topic: _reachable(address, host) for topic, address in found.items()})


def _reachable(address: str, host: str) -> str:
    for everywhere in ("0.0.0.0", "[::]", "*"):
        address = address.replace(f"tcp://{everywhere}:", f"tcp://{host}:")
    return address


def missing_lines(node: Probed) -> list[MissingLine]:
    """What this node's bitcoin.conf lacks."""
    zmq = node.zmq.model_dump()
    lines = [
        MissingLine(f"zmqpub{topic}={address}", _ZMQ_REASON[topic])
        for topic, address in DEFAULT_ZMQ.items()
        if zmq[topic] is None
    ]
    small = node.network != "signet"  # a signature of some signets is larger than the rest of the coinbase
    if small and node.version >= _RESERVED_WEIGHT_SINCE and not node.sets_reserved_weight:
        lines.append(
            MissingLine(
                "blockreservedweight=2000",
                "optional: our coinbase needs less than the 8000 units kept free, the rest is room for fees",
            )
        )
    return lines


def check_payout(node: Probed, address: str) -> None:
    """Have the node check the payout address. Raises PayoutError or NodeError."""
    config = _config_for(node.network, bitcoin_rpc=node.rpc)
    client = node_settings(config, node.rpc, config.zmq).connect()
    try:
        payout_to(client, address, config.chain)
    finally:
        client.close()


def config_values(nodes: Sequence[Probed], payout_address: str, data_dir: Path | None) -> dict[str, Any]:
    """The content of config.json: what differs from the defaults. The first node gives work, all get every block."""
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
        values["data_dir"] = str(data_dir.absolute())
    return values


def _rpc_values(rpc: RpcConfig) -> dict[str, Any]:
    values = rpc.model_dump(mode="json", exclude_defaults=True, exclude={"password"})
    if password := rpc.password.get_secret_value():
        values["password"] = password
    return {"host": rpc.host, **values}


def write_config(path: Path, values: dict[str, Any], *, replace: bool) -> Config:
    """Check the values, and write config.json, readable by its owner alone. Raises ConfigError."""
    if path.exists() and not replace:
        raise ConfigError(f"{path} is there already", "choose another with --config, or replace it with --force")
    config = load_config(overrides=values, environ={})
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(values, indent=2) + "\n")
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "choose another place with --config") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return config


def _config_for(network: str, **values: Any) -> Config:
    mode = MODE_OF_NETWORK[network]
    return Config(mode=mode, network=network, **values)
