"""One look at a node: may its templates be mined, and what should its owner know (mining rules S1, 9, 14 and 48)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from solominer.chain.networks import Network
from solominer.errors import MethodNotAllowed, NodeError, RpcFailed, UnsafeConsensus, WrongNetwork, printable
from solominer.node.rpc import METHOD_NOT_FOUND, RpcClient, field_of, hash_from, object_from
from solominer.work.events import NodeHealth

KNOWN_DEPLOYMENTS = frozenset({"bip34", "bip65", "bip66", "csv", "segwit", "taproot", "testdummy"})
"""Deployments whose rules this program's blocks satisfy."""

MAX_HEADERS_AHEAD = 2
"""A node with more headers than blocks is behind; one or two are a block on its way."""

CLOCK_WARNING_SECS = 60.0
OLD_TIP_SECS = 3 * 3600.0
DEPLOYMENT_WARNING_BLOCKS = 2016

OTHER_COINS = ("bitcoin cash", "bchn", "bchd", "bch unlimited", "bitcoin abc", "bitcoin sv", "ecash", "flowee", "knuth")
"""In the user agents of coins that share Bitcoin's first blocks."""

CASH_HEIGHT = 478_559
CASH_HASH_HEX = "000000000000000000651ef99cb9fcbe0dadde1d424bd9f15ff20136191a5eec"
"""The first block of Bitcoin Cash alone, which eCash and Bitcoin SV have too (its node's chainparams.cpp)."""


def pin_network(client: RpcClient, network: Network) -> Mapping[str, Any]:
    """Make sure that the node is on `network`, by name and by genesis block (rule 9); give its getblockchaininfo.

    Raises WrongNetwork, or NodeError as RpcClient.call.
    """
    chain = client.call("getblockchaininfo")
    name = field_of(chain, "chain", str)
    if name != network.chain:
        raise WrongNetwork(
            f"{client.node} is on chain {name!r}, the configuration says {network.name} ({network.chain!r})",
            "correct mode or network, or bitcoin_rpc.port",
        )
    genesis_hex = client.call("getblockhash", 0)
    if genesis_hex != network.genesis_hex:
        raise WrongNetwork(
            f"{client.node} calls its chain {name!r} but its first block is {genesis_hex!r:.80}",
            "this is another coin or a private chain; connect to a Bitcoin node",
        )
    return dict(chain)


def other_coin(net: Mapping[str, Any]) -> str:
    """Why a node with Bitcoin's first block is another coin's, by the user agent in its getnetworkinfo, or ''."""
    agent = "".join(filter(str.isprintable, str(net.get("subversion", ""))))[:60]
    known = any(name in agent.lower() for name in OTHER_COINS)
    return f"it is a node of another coin, by its user agent {agent}; connect to a Bitcoin node" if known else ""


def refuse_other_coin(client: RpcClient, chain: Mapping[str, Any]) -> None:
    """Raises WrongNetwork for a node that shares Bitcoin's first blocks and no more; `chain` is its getblockchaininfo.

    A node that does not answer these questions is not judged.
    """
    try:
        reason = other_coin(object_from(client.call("getnetworkinfo")))
        if chain.get("chain") == "main" and field_of(chain, "blocks", int) >= CASH_HEIGHT and not reason:
            on_cash_chain = client.call("getblockhash", CASH_HEIGHT) == CASH_HASH_HEX
            reason = "it follows the chain of Bitcoin Cash; connect to a Bitcoin node" if on_cash_chain else ""
    except NodeError:
        return
    if reason:
        what, todo = reason.split("; ")
        raise WrongNetwork(f"{client.node} cannot be mined on: {what}", todo)


def look(client: RpcClient, network: Network, *, node: str, now: float) -> NodeHealth:
    """Ask a node how it is. `now` is Unix seconds. Never raises NodeError: that is the finding then."""
    start = time.perf_counter()
    try:
        chain = pin_network(client, network)
        net = object_from(client.call_optional("getnetworkinfo") or {})
        deployments = deployments_of(client, network)
        median_time = field_of(chain, "mediantime", int)
        return NodeHealth(
            node=node,
            reachable=True,
            problem=other_coin(net) or _problem(network, chain, net, deployments),
            height=field_of(chain, "blocks", int),
            headers=field_of(chain, "headers", int),
            best_hash_le=hash_from(chain.get("bestblockhash")),
            chainwork=_chainwork(chain),
            tip_time=_tip_time(chain),
            median_time=median_time,
            clock_offset_secs=client.clock_offset_secs,
            peers=_peers(net),
            initial_download=bool(chain.get("initialblockdownload")),
            pruned=bool(chain.get("pruned")),
            version=printable(str(net.get("subversion", "")), 256),
            rpc_secs=time.perf_counter() - start,
            warnings=(
                *_said_by_node(chain, net),
                *_clock_warnings(client.clock_offset_secs, net),
                *_old_tip_warnings(network, _tip_time(chain), now),
                *_coming_rules(network, deployments),
            ),
        )
    except (WrongNetwork, MethodNotAllowed) as error:
        return NodeHealth(node, reachable=True, problem=one_line(error), rpc_secs=time.perf_counter() - start)
    except NodeError as error:
        return unreachable(node, error)


def unreachable(node: str, error: NodeError) -> NodeHealth:
    """The NodeHealth of a node that could not be asked."""
    return NodeHealth(node, reachable=False, problem=one_line(error))


def one_line(error: Exception) -> str:
    """An error and its advice as one line, for logs and events."""
    return "; ".join(str(error).replace("\n  -> ", "\n").split("\n"))


def refuse_unsafe_consensus(info: Mapping[str, Any], network: Network, median_time: int) -> None:
    """Raise UnsafeConsensus where rules that this program does not know hold for the next block (S1).

    `info` is getdeploymentinfo's result, `median_time` the tip's. On regtest and signet, where rules are the owner's
    own affair and templates say what they need, nothing is refused.
    """
    if network.name in ("regtest", "signet"):
        return
    next_height = field_of(info, "height", int) + 1
    for name, deployment in unknown_deployments(info):
        if _holds_at(deployment, next_height, median_time):
            raise UnsafeConsensus(
                f"the node enforces the rules of {name!r}, which this program does not implement",
                "mine with Bitcoin Core, or with a version of this program that knows them",
            )


def unknown_deployments(info: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and description of each deployment not known here. A derivative lists some of its own beside the list."""
    listed = info.get("deployments")
    beside = {name: value for name, value in info.items() if name != "deployments"}
    for group in (listed if isinstance(listed, dict) else {}, beside):
        for name, value in group.items():
            if isinstance(value, dict) and "active" in value and name not in KNOWN_DEPLOYMENTS:
                yield name, value


def _holds_at(deployment: Mapping[str, Any], height: int, median_time: int) -> bool:
    """Whether its rules hold at `height`. A flag day is judged by its height too, should `active` lag by a block."""
    first, last, expiry = (deployment.get(key) for key in ("height", "height_end", "expiry_time"))
    begun = isinstance(first, int) and first <= height
    ended = (isinstance(last, int) and last < height) or (isinstance(expiry, int) and expiry <= median_time)
    return bool(deployment["active"]) or (begun and not ended)


def deployments_of(client: RpcClient, network: Network) -> Mapping[str, Any] | None:
    """getdeploymentinfo, or None where the node does not have it (before Bitcoin Core 23) or need not give it.

    Its rules are what rule S1 is about: where it is at stake, on networks whose rules are not the owner's own affair,
    a node that keeps it from us (rpcwhitelist) is not mined on. Raises NodeError.
    """
    if network.name in ("regtest", "signet"):
        info = client.call_optional("getdeploymentinfo")
        return info if isinstance(info, dict) else None
    try:
        return object_from(client.call("getdeploymentinfo"))
    except RpcFailed as error:
        if error.code != METHOD_NOT_FOUND:
            raise
        return None


def _problem(
    network: Network, chain: Mapping[str, Any], net: Mapping[str, Any], deployments: Mapping[str, Any] | None
) -> str:
    """Why templates of this node must not be mined, or ''."""
    if deployments is not None:
        try:
            refuse_unsafe_consensus(deployments, network, field_of(chain, "mediantime", int))
        except UnsafeConsensus as error:
            return one_line(error)
    blocks, headers = field_of(chain, "blocks", int), field_of(chain, "headers", int)
    if headers > blocks + MAX_HEADERS_AHEAD:
        return f"the node is behind: {blocks} blocks of {headers} headers; wait until it has caught up"
    if network.for_testing:
        return ""
    if chain.get("initialblockdownload"):
        return f"the node is in initial block download at {blocks} of {headers}; wait until it has caught up"
    if _peers(net) == 0:
        return "the node has no peers; check its network connection"
    return ""


def _said_by_node(chain: Mapping[str, Any], net: Mapping[str, Any]) -> list[str]:
    """The node's own warnings, each once: a string before Bitcoin Core 28, a list since."""
    said: list[str] = []
    for source in (chain, net):
        warnings = source.get("warnings")
        said += map(str, warnings) if isinstance(warnings, list) else [str(warnings or "")]
    return [printable(text, 500) for text in dict.fromkeys(said) if text]


def _clock_warnings(offset_secs: float | None, net: Mapping[str, Any]) -> Iterator[str]:
    if offset_secs is not None and abs(offset_secs) > CLOCK_WARNING_SECS:
        yield f"the node's clock is {offset_secs:+.0f} s from this machine's; set both by NTP"
    of_peers = net.get("timeoffset")
    if isinstance(of_peers, int) and abs(of_peers) > CLOCK_WARNING_SECS:
        yield f"the node's clock is {-of_peers:+d} s from its peers'; set it by NTP"


def _old_tip_warnings(network: Network, tip_time: int, now: float) -> Iterator[str]:
    age_secs = now - tip_time
    if not network.for_testing and age_secs > OLD_TIP_SECS:
        yield f"the newest block is {age_secs / 3600:.1f} hours old; check the node's peers and clock"


def _coming_rules(network: Network, deployments: Mapping[str, Any] | None) -> Iterator[str]:
    if deployments is None or network.name in ("regtest", "signet"):
        return
    height = field_of(deployments, "height", int)
    for name, deployment in unknown_deployments(deployments):
        first = deployment.get("height")
        if isinstance(first, int) and height + 1 < first <= height + DEPLOYMENT_WARNING_BLOCKS:
            yield f"at height {first} the node starts to enforce {name!r}; mining on it stops there"


def _tip_time(chain: Mapping[str, Any]) -> int:
    """The tip's own time; nodes before Bitcoin Core 23 tell the median only."""
    return field_of(chain, "time" if "time" in chain else "mediantime", int)


def _chainwork(chain: Mapping[str, Any]) -> int:
    try:
        return int(field_of(chain, "chainwork", str), 16)
    except ValueError as error:
        raise NodeError("the node's answer has no usable 'chainwork'", "check the node's version") from error


def _peers(net: Mapping[str, Any]) -> int | None:
    count = net.get("connections")
    return count if isinstance(count, int) else None
