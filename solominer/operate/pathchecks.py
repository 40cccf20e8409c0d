"""Checks of what lies between the nodes: each must know the newest blocks of the others."""

from __future__ import annotations

import time

from solominer.errors import RpcFailed
from solominer.node.rpc import field_of
from solominer.operate.findings import Check, Outcome, failed, ok
from solominer.operate.nodechecks import NodeUnderTest


def path_checks(one: NodeUnderTest, other: NodeUnderTest) -> list[Check]:
    """Checks of what lies between two nodes: each must know the other's best block."""

    def knows(asked: NodeUnderTest, told: NodeUnderTest) -> Outcome:
        best_hex = told.client.call("getbestblockhash")
        try:
            found = asked.client.call("getblockheader", best_hex)
        except RpcFailed:
            return failed(
                f"{asked.settings.name} does not know the newest block {best_hex[-16:]} of {told.settings.name}",
                "look at the peers of both (getpeerinfo); connect them with addnode",
            )
        depth = field_of(found, "confirmations", int)
        if depth < 0:
            return failed(
                f"the newest block {best_hex[-16:]} of {told.settings.name} is off the chain of {asked.settings.name}",
                "wait for the next block; if they stay apart, one of them follows other rules or has lost its peers",
            )
        return ok(f"has the newest block of {told.settings.name}, {depth} deep")

    return [
        Check(f"chain of {other.settings.name}", lambda: knows(one, other)),
        Check("round trip", lambda: _round_trip(one)),
    ]


def _round_trip(node: NodeUnderTest) -> Outcome:
    times = []
    for _ in range(10):
        started = time.perf_counter()
        best_hex = node.client.call("getbestblockhash")
        times.append(1000 * (time.perf_counter() - started))
    return ok(f"{sorted(times)[5]:.1f} ms in the middle, {max(times):.1f} ms at most; best {str(best_hex)[-16:]}")
