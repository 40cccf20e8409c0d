"""Checks between nodes: all must be on the same chain and up to date."""

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

PROPAGATION_SECS = 2.0


def path_checks(one: NodeUnderTest, other: NodeUnderTest) -> list[Check]:
    """Checks between two nodes: same chain, and the RPC round trip of the first."""
    return [chain_check(one, other), Check("round trip", lambda: _round_trip(one))]


def chain_check(one: NodeUnderTest, other: NodeUnderTest) -> Check:
    """Check that both are on the same chain and `one` is not behind; a fork is located by height.

    A node that is behind is asked once more after PROPAGATION_SECS, as a new block may be propagating.
    """

    def compare() -> CheckOutcome:
        mine, theirs, common = _compared(one, other)
        if mine.height == common < theirs.height:
            time.sleep(PROPAGATION_SECS)
            mine, theirs, common = _compared(one, other)
        if common < min(mine.height, theirs.height):
            weaker = min(mine, theirs, key=lambda health: health.chainwork)
            work = "both have the same work" if mine.chainwork == theirs.chainwork else f"{weaker.node} has less work"
            return failed(
                f"on a different chain from {theirs.node} since height {common + 1} (heights {mine.height} and "
                f"{theirs.height}; {work})",
                f"check the peers, version and debug.log of {weaker.node}, and connect the nodes with addnode; if both "
                "have the same work, wait for the next block",
            )
        if mine.height < theirs.height:
            return failed(
                f"behind {theirs.node}, at height {mine.height} of {theirs.height}; newest block "
                f"{to_rpc_hex(theirs.best_hash_le)[-16:]}",
                "check the peers of both (getpeerinfo), and connect the nodes with addnode",
            )
        return ok(f"same chain as {theirs.node}, up to height {common}")

    return Check(f"chain of {other.settings.name}", compare)


def _compared(one: NodeUnderTest, other: NodeUnderTest) -> tuple[NodeHealth, NodeHealth, int]:
    """The health of both, and the last height at which their chains agree. Raises NodeError."""
    mine, theirs = (look(n.client, n.settings.network, node=n.settings.name, now=time.time()) for n in (one, other))
    for health in (mine, theirs):
        if not health.best_hash_le:
            raise NodeError(f"no chain state from {health.node}: {health.problem}", "see the checks of that node")
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
    return ok(f"median {sorted(times)[5]:.1f} ms, max {max(times):.1f} ms; best block {best_hex[-16:]}")
