"""Checks of what lies between the nodes: they must be on one chain, each with the newest blocks of the others."""

from __future__ import annotations

import time

from solominer.chain.hashes import to_rpc_hex
from solominer.doctor.check import Check, CheckOutcome, failed, ok
from solominer.doctor.node_checks import NodeUnderTest
from solominer.errors import NodeError
from solominer.node.headers import hash_at
from solominer.node.health import look
from solominer.node.submit import best_hash
from solominer.work.events import NodeHealth
from solominer.work.forks import common_height

ON_ITS_WAY_SECS = 2.0


def path_checks(one: NodeUnderTest, other: NodeUnderTest) -> list[Check]:
    """Checks of what lies between two nodes: one chain, and how long the first takes to answer."""
    return [chain_check(one, other), Check("round trip", lambda: _round_trip(one))]


def chain_check(one: NodeUnderTest, other: NodeUnderTest) -> Check:
    """Whether both are on one chain, and `one` is not behind. The height at which they part is searched for.

    A node that is behind is asked once more after ON_ITS_WAY_SECS: a new block may just be arriving.
    """

    def compare() -> CheckOutcome:
        mine, theirs, common = _compared(one, other)
        if mine.height == common < theirs.height:
            time.sleep(ON_ITS_WAY_SECS)
            mine, theirs, common = _compared(one, other)
        if common < min(mine.height, theirs.height):
            weaker = min(mine, theirs, key=lambda health: health.chainwork)
            work = "both have the same work" if mine.chainwork == theirs.chainwork else f"{weaker.node} has less work"
            return failed(
                f"on another chain than {theirs.node} since height {common + 1} (heights {mine.height} and "
                f"{theirs.height}; {work})",
                f"look at the peers, version and debug.log of {weaker.node}; connect the nodes with addnode. At equal "
                "work wait for the next block",
            )
        if mine.height < theirs.height:
            return failed(
                f"on the chain of {theirs.node} but behind, at height {mine.height} of {theirs.height}; newest "
                f"block {to_rpc_hex(theirs.best_hash_le)[-16:]}",
                "look at the peers of both (getpeerinfo); connect them with addnode",
            )
        return ok(f"one chain with {theirs.node}, up to height {common}")

    return Check(f"chain of {other.settings.name}", compare)


def _compared(one: NodeUnderTest, other: NodeUnderTest) -> tuple[NodeHealth, NodeHealth, int]:
    """A look at each, and the last height at which they are one. Raises NodeError."""
    mine, theirs = (look(n.client, n.settings.network, node=n.settings.name, now=time.time()) for n in (one, other))
    for health in (mine, theirs):
        if not health.best_hash_le:
            raise NodeError(f"{health.node} does not show its chain: {health.problem}", "see its own checks")
    search = common_height(min(mine.height, theirs.height))
    height = next(search)
    while True:
        try:
            height = search.send(hash_at(one.client, height) == hash_at(other.client, height))
        except StopIteration as end:
            return mine, theirs, int(end.value)


def _round_trip(node: NodeUnderTest) -> CheckOutcome:
    times = []
    for _ in range(10):
        started = time.perf_counter()
        best_hex = to_rpc_hex(best_hash(node.client))
        times.append(1000 * (time.perf_counter() - started))
    return ok(f"{sorted(times)[5]:.1f} ms median, {max(times):.1f} ms at most; best {best_hex[-16:]}")
