"""Health check of a node: whether its templates may be mined, and warnings (mining rules S1, 9, 14 and 48)."""

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
"""A node with more headers than blocks is behind, unless a block or two are still being downloaded."""

CLOCK_WARNING_SECS = 60.0
OLD_TIP_SECS = 3 * 3600.0
DEPLOYMENT_WARNING_BLOCKS = 2016
_MOST_WARNINGS = 20

OTHER_COINS = ("bitcoin cash", "bchn", "bchd", "bch unlimited", "bitcoin abc", "bitcoin sv", "ecash", "flowee", "knuth")
"""Names in the user agents of coins that share Bitcoin's first blocks."""

CASH_HEIGHT = 478_559
CASH_HASH_HEX = "000000000000000000651ef99cb9fcbe0dadde1d424bd9f15ff20136191a5eec"
"""The first block after the fork of Bitcoin Cash, shared by eCash and Bitcoin SV (BCHN, chainparams.cpp)."""


def chain_of(client: RpcClient, network: Network) -> Field:
    """The node's getblockchaininfo, if it says that it is on `network`.

    Raises WrongNetwork, or NodeError as RpcClient.call.
    """
    chain = client.ask("getblockchaininfo")
    name = chain["chain"].text()
    if name != network.chain:
        raise WrongNetwork(
            f"{client.node} is on chain {name!r}, but {network.name} ({network.chain!r}) is configured",
            "correct mode or network, or bitcoin_rpc.port",
        )
    return chain


def pin_network(client: RpcClient, network: Network) -> Field:
    """Check that the node is on `network`, by name and genesis block (rule 9); returns its getblockchaininfo.

    Raises WrongNetwork, or NodeError as RpcClient.call.
    """
    chain = chain_of(client, network)
    genesis_hex = client.ask("getblockhash", 0).text()
    if genesis_hex != network.genesis_hex:
        raise WrongNetwork(
            f"{client.node} is on chain {network.chain!r}, but its genesis block is {genesis_hex!r:.80}",
            "it is another coin or a private chain; connect to a Bitcoin node",
        )
    return chain


def other_coin(net: Field) -> str:
    """A problem if the user agent in getnetworkinfo is of another coin with Bitcoin's genesis block, or ''."""
    agent = "".join(filter(str.isprintable, version_of(net)))[:60]
    known = any(name in agent.lower() for name in OTHER_COINS)
    return f"its user agent {agent} is of another coin; connect to a Bitcoin node" if known else ""


def refuse_other_coin(client: RpcClient, chain: Field) -> None:
    """Raises WrongNetwork for a node of a coin forked from Bitcoin; `chain` is its getblockchaininfo.

    A node that does not answer the calls is not refused.
    """
    try:
        reason = other_coin(client.ask("getnetworkinfo"))
        is_main = chain["chain"].text() == "main"
        if is_main and chain["blocks"].integer(0, MAX_HEIGHT) >= CASH_HEIGHT and not reason:
            on_cash_chain = client.ask("getblockhash", CASH_HEIGHT).text() == CASH_HASH_HEX
            reason = "it is on the chain of Bitcoin Cash; connect to a Bitcoin node" if on_cash_chain else ""
    except NodeError:
        return
    if reason:
        what, todo = reason.split("; ")
        raise WrongNetwork(f"{client.node} cannot be used: {what}", todo)


def look(client: RpcClient, network: Network, *, node: str, now: float) -> NodeHealth:
    """Check a node's health; `now` is Unix seconds. A NodeError is returned as its problem."""
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
                *node_warnings(chain, net),
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
    """The NodeHealth of an unreachable node."""
    return NodeHealth(node, reachable=False, problem=one_line(error))


def one_line(error: Exception) -> str:
    """An error and its advice as one line, for logs and events."""
    return "; ".join(str(error).replace("\n  -> ", "\n").split("\n"))


def refuse_unsafe_consensus(info: Field, network: Network, median_time: int) -> None:
    """Raise UnsafeConsensus if rules that this program does not implement apply to the next block (S1).

    `info` is getdeploymentinfo's result, `median_time` the tip's. Nothing is refused on regtest and signet, where the
    owner sets the rules and templates declare them.
    """
    if network.name in ("regtest", "signet"):
        return
    next_height = info["height"].integer(0, MAX_HEIGHT) + 1
    for name, deployment in unknown_deployments(info):
        if _holds_at(deployment, next_height, median_time):
            raise UnsafeConsensus(
                f"the node enforces the rules of {name!r}, which this program does not implement",
                "use Bitcoin Core, or a version of this program that implements them",
            )


def unknown_deployments(info: Field) -> Iterator[tuple[str, Field]]:
    """Name and description of each unknown deployment. Derivatives of Core list some outside of `deployments`."""
    listed = info.get("deployments")
    beside = [(name, value) for name, value in info.members() if name != "deployments"]
    for name, value in (*(() if listed is None else listed.members()), *beside):
        if isinstance(value.value, dict) and "active" in value.value and name not in KNOWN_DEPLOYMENTS:
            yield name[:MAX_NAME], value


def _holds_at(deployment: Field, height: int, median_time: int) -> bool:
    """Whether its rules apply at `height`; also by the heights of a flag day, as `active` may lag by a block."""
    first, last, expiry = (_whole(deployment.get(key)) for key in ("height", "height_end", "expiry_time"))
    begun = first is not None and first <= height
    ended = (last is not None and last < height) or (expiry is not None and expiry <= median_time)
    return deployment["active"].flag() or (begun and not ended)


def deployments_of(client: RpcClient, network: Network) -> Field | None:
    """getdeploymentinfo, or None if the node lacks it (before Bitcoin Core 23).

    Rule S1 requires it: a node that does not allow it (rpcwhitelist) is not mined on, except on regtest and signet,
    where the owner sets the rules. Raises NodeError.
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
        return f"the node is behind: {blocks} of {headers} blocks; wait until it is synced"
    if network.for_testing:
        return ""
    if is_set(chain, "initialblockdownload"):
        return f"the node is in initial block download, {blocks} of {headers} blocks; wait until it is synced"
    if peers_of(net) == 0:
        return "the node has no peers; check its network connection"
    return ""


def node_warnings(*sources: Field) -> list[str]:
    """The node's warnings without repetitions: a string before Bitcoin Core 28, a list since."""
    texts: list[str] = []
    for source in sources:
        field = source.get("warnings")
        value = None if field is None else field.value
        values = value if isinstance(value, list) else [value]
        texts += [printable(text, 500) for text in values if isinstance(text, str)]
    return [text for text in dict.fromkeys(texts[:_MOST_WARNINGS]) if text]


def _clock_warnings(offset_secs: float | None, net: Field) -> Iterator[str]:
    if offset_secs is not None and abs(offset_secs) > CLOCK_WARNING_SECS:
        yield f"the node's clock is {offset_secs:+.0f} s from this machine's; synchronize both with NTP"
    of_peers = peers_offset(net)
    if of_peers is not None and abs(of_peers) > CLOCK_WARNING_SECS:
        yield f"the node's clock is {-of_peers:+d} s from its peers'; synchronize it with NTP"


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
            yield f"the node enforces the unknown rules of {name!r} from height {first}; mining on it stops there"


def tip_time(chain: Field) -> int:
    """The tip's time, or its median time past before Bitcoin Core 23."""
    return (chain.get("time") or chain["mediantime"]).integer(0, MAX_TIME)


def is_set(source: Field, key: str) -> bool:
    """An optional flag."""
    found = source.get(key)
    return found is not None and found.flag()


def peers_of(net: Field) -> int | None:
    """Number of the node's peers; None if not reported."""
    return _whole(net.get("connections"))


def peers_offset(net: Field) -> int | None:
    """Seconds by which the peers' clocks are ahead of the node's; None if not reported."""
    return _whole(net.get("timeoffset"))


def version_of(net: Field) -> str:
    """The node's user agent."""
    found = net.get("subversion")
    return printable(found.value, 256) if found is not None and isinstance(found.value, str) else ""


def _whole(field: Field | None) -> int | None:
    """An optional number, used for warnings only."""
    return field.value if field is not None and type(field.value) is int else None
