"""One look at a node: may its templates be mined, and what should its owner know (mining rules S1, 9, 14 and 48)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from solominer.chain.fields import MAX_HEIGHT, MAX_NAME, MAX_TIME, Field
from solominer.chain.networks import Network
from solominer.errors import MethodNotAllowed, NodeError, RpcFailed, UnsafeConsensus, WrongNetwork, printable
from solominer.node.rpc import METHOD_NOT_FOUND, RpcClient
from solominer.work.events import NodeHealth

KNOWN_DEPLOYMENTS = frozenset({"bip34", "bip65", "bip66", "csv", "segwit", "taproot", "testdummy"})
"""Deployments whose rules this program's blocks satisfy."""

MAX_HEADERS_AHEAD = 2
"""A node with more headers than blocks is behind; one or two are a block on its way."""

CLOCK_WARNING_SECS = 60.0
OLD_TIP_SECS = 3 * 3600.0
DEPLOYMENT_WARNING_BLOCKS = 2016
_MOST_WARNINGS = 20

OTHER_COINS = ("bitcoin cash", "bchn", "bchd", "bch unlimited", "bitcoin abc", "bitcoin sv", "ecash", "flowee", "knuth")
"""In the user agents of coins that share Bitcoin's first blocks."""

CASH_HEIGHT = 478_559
CASH_HASH_HEX = "000000000000000000651ef99cb9fcbe0dadde1d424bd9f15ff20136191a5eec"
"""The first block of Bitcoin Cash alone, which eCash and Bitcoin SV have too (its node's chainparams.cpp)."""


def pin_network(client: RpcClient, network: Network) -> Field:
    """Make sure that the node is on `network`, by name and by genesis block (rule 9); give its getblockchaininfo.

    Raises WrongNetwork, or NodeError as RpcClient.call.
    """
    chain = client.ask("getblockchaininfo")
    name = chain["chain"].text()
    if name != network.chain:
        raise WrongNetwork(
            f"{client.node} is on chain {name!r}, the configuration says {network.name} ({network.chain!r})",
            "correct mode or network, or bitcoin_rpc.port",
        )
    genesis_hex = client.ask("getblockhash", 0).text()
    if genesis_hex != network.genesis_hex:
        raise WrongNetwork(
            f"{client.node} calls its chain {name!r} but its first block is {genesis_hex!r:.80}",
            "this is another coin or a private chain; connect to a Bitcoin node",
        )
    return chain


def other_coin(net: Field) -> str:
    """Why a node with Bitcoin's first block is another coin's, by the user agent in its getnetworkinfo, or ''."""
    agent = "".join(filter(str.isprintable, version_of(net)))[:60]
    known = any(name in agent.lower() for name in OTHER_COINS)
    return f"it is a node of another coin, by its user agent {agent}; connect to a Bitcoin node" if known else ""


def refuse_other_coin(client: RpcClient, chain: Field) -> None:
    """Raises WrongNetwork for a node that shares Bitcoin's first blocks and no more; `chain` is its getblockchaininfo.

    A node that does not answer these questions is not judged.
    """
    try:
        reason = other_coin(client.ask("getnetworkinfo"))
        is_main = chain["chain"].text() == "main"
        if is_main and chain["blocks"].integer(0, MAX_HEIGHT) >= CASH_HEIGHT and not reason:
            on_cash_chain = client.ask("getblockhash", CASH_HEIGHT).text() == CASH_HASH_HEX
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
        net = client.ask_optional("getnetworkinfo", instead={})
        deployments = deployments_of(client, network)
        return NodeHealth(
            node=node,
            reachable=True,
            problem=other_coin(net) or _problem(network, chain, net, deployments),
            height=chain["blocks"].integer(0, MAX_HEIGHT),
            headers=chain["headers"].integer(0, MAX_HEIGHT),
            best_hash_le=chain["bestblockhash"].hash_le(),
            chainwork=chain["chainwork"].hex_number(1, 64),
            tip_time=tip_time(chain),
            median_time=chain["mediantime"].integer(0, MAX_TIME),
            clock_offset_secs=client.clock_offset_secs,
            peers=peers_of(net),
            initial_download=is_set(chain, "initialblockdownload"),
            pruned=is_set(chain, "pruned"),
            version=version_of(net),
            rpc_secs=time.perf_counter() - start,
            warnings=(
                *said_by_node(chain, net),
                *_clock_warnings(client.clock_offset_secs, net),
                *_old_tip_warnings(network, tip_time(chain), now),
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


def refuse_unsafe_consensus(info: Field, network: Network, median_time: int) -> None:
    """Raise UnsafeConsensus where rules that this program does not know hold for the next block (S1).

    `info` is getdeploymentinfo's result, `median_time` the tip's. On regtest and signet, where rules are the owner's
    own affair and templates say what they need, nothing is refused.
    """
    if network.name in ("regtest", "signet"):
        return
    next_height = info["height"].integer(0, MAX_HEIGHT) + 1
    for name, deployment in unknown_deployments(info):
        if _holds_at(deployment, next_height, median_time):
            raise UnsafeConsensus(
                f"the node enforces the rules of {name!r}, which this program does not implement",
                "mine with Bitcoin Core, or with a version of this program that knows them",
            )


def unknown_deployments(info: Field) -> Iterator[tuple[str, Field]]:
    """Name and description of each deployment not known here. A derivative lists some of its own beside the list."""
    listed = info.get("deployments")
    beside = [(name, value) for name, value in info.members() if name != "deployments"]
    for name, value in (*(() if listed is None else listed.members()), *beside):
        if isinstance(value.value, dict) and "active" in value.value and name not in KNOWN_DEPLOYMENTS:
            yield name[:MAX_NAME], value


def _holds_at(deployment: Field, height: int, median_time: int) -> bool:
    """Whether its rules hold at `height`. A flag day is judged by its height too, should `active` lag by a block."""
    first, last, expiry = (_whole(deployment.get(key)) for key in ("height", "height_end", "expiry_time"))
    begun = first is not None and first <= height
    ended = (last is not None and last < height) or (expiry is not None and expiry <= median_time)
    return deployment["active"].flag() or (begun and not ended)


def deployments_of(client: RpcClient, network: Network) -> Field | None:
    """getdeploymentinfo, or None where the node does not have it (before Bitcoin Core 23) or need not give it.

    Its rules are what rule S1 is about: where it is at stake, on networks whose rules are not the owner's own affair,
    a node that keeps it from us (rpcwhitelist) is not mined on. Raises NodeError.
    """
    if network.name in ("regtest", "signet"):
        info = client.ask_optional("getdeploymentinfo", instead={})
        return info if info.value else None
    try:
        return client.ask("getdeploymentinfo")
    except RpcFailed as error:
        if error.code != METHOD_NOT_FOUND:
            raise
        return None


def _problem(network: Network, chain: Field, net: Field, deployments: Field | None) -> str:
    """Why templates of this node must not be mined, or ''."""
    if deployments is not None:
        try:
            refuse_unsafe_consensus(deployments, network, chain["mediantime"].integer(0, MAX_TIME))
        except UnsafeConsensus as error:
            return one_line(error)
    blocks, headers = (chain[key].integer(0, MAX_HEIGHT) for key in ("blocks", "headers"))
    if headers > blocks + MAX_HEADERS_AHEAD:
        return f"the node is behind: {blocks} blocks of {headers} headers; wait until it has caught up"
    if network.for_testing:
        return ""
    if is_set(chain, "initialblockdownload"):
        return f"the node is in initial block download at {blocks} of {headers}; wait until it has caught up"
    if peers_of(net) == 0:
        return "the node has no peers; check its network connection"
    return ""


def said_by_node(*sources: Field) -> list[str]:
    """The node's own warnings, each once: a string before Bitcoin Core 28, a list since."""
    said: list[str] = []
    for source in sources:
        warnings = source.get("warnings")
        told = None if warnings is None else warnings.value
        said += [printable(text, 500) for text in (told if isinstance(told, list) else [told]) if isinstance(text, str)]
    return [text for text in dict.fromkeys(said[:_MOST_WARNINGS]) if text]


def _clock_warnings(offset_secs: float | None, net: Field) -> Iterator[str]:
    if offset_secs is not None and abs(offset_secs) > CLOCK_WARNING_SECS:
        yield f"the node's clock is {offset_secs:+.0f} s from this machine's; set both by NTP"
    of_peers = peers_offset(net)
    if of_peers is not None and abs(of_peers) > CLOCK_WARNING_SECS:
        yield f"the node's clock is {-of_peers:+d} s from its peers'; set it by NTP"


def _old_tip_warnings(network: Network, tip_time: int, now: float) -> Iterator[str]:
    age_secs = now - tip_time
    if not network.for_testing and age_secs > OLD_TIP_SECS:
        yield f"the newest block is {age_secs / 3600:.1f} hours old; check the node's peers and clock"


def _coming_rules(network: Network, deployments: Field | None) -> Iterator[str]:
    if deployments is None or network.name in ("regtest", "signet"):
        return
    height = deployments["height"].integer(0, MAX_HEIGHT)
    for name, deployment in unknown_deployments(deployments):
        first = _whole(deployment.get("height"))
        if first is not None and height + 1 < first <= height + DEPLOYMENT_WARNING_BLOCKS:
            yield f"at height {first} the node starts to enforce {name!r}; mining on it stops there"


def tip_time(chain: Field) -> int:
    """The tip's own time; nodes before Bitcoin Core 23 tell the median only."""
    return (chain.get("time") or chain["mediantime"]).integer(0, MAX_TIME)


def is_set(source: Field, key: str) -> bool:
    """A flag that not every node has."""
    found = source.get(key)
    return found is not None and found.flag()


def peers_of(net: Field) -> int | None:
    """How many peers the node has; None where it does not say."""
    return _whole(net.get("connections"))


def peers_offset(net: Field) -> int | None:
    """Seconds of the peers' clocks ahead of the node's; None where it does not say."""
    return _whole(net.get("timeoffset"))


def version_of(net: Field) -> str:
    """What the node calls itself."""
    found = net.get("subversion")
    return printable(found.value, 256) if found is not None and isinstance(found.value, str) else ""


def _whole(field: Field | None) -> int | None:
    """A number that nothing depends on but a warning."""
    return field.value if field is not None and type(field.value) is int else None
