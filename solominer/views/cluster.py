"""The nodes of a cluster as text, from the workers in the daemon's status: `cluster/NODE.WORKER`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from solominer.errors import printable
from solominer.records.report.formats import many
from solominer.views.snapshot import is_at_a_node
from solominer.views.text import rate, utc

ENGINE = "cluster/"


def nodes_in(workers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One object for each node, by name: its workers, how many of them are alive, rate and shares, `miners` beside it.

    `workers` are not those miners; rate and shares are of both.
    """
    found: dict[str, dict[str, Any]] = {}
    for worker in workers:
        name = str(worker["worker"])
        if not name.startswith(ENGINE):
            continue
        node = name.removeprefix(ENGINE).partition(".")[0]
        entry = found.setdefault(
            node, {"node": node, "workers": 0, "alive": 0, "miners": 0, "rate_hps": 0.0, "shares": 0, "gone_at": None}
        )
        if worker.get("gone_at") is not None:
            entry |= {"state": worker["state"], "gone_at": worker["gone_at"]}
        if is_at_a_node(name):
            entry["miners"] += bool(worker["alive"])
        else:
            entry["workers"] += 1
            entry["alive"] += bool(worker["alive"])
        entry["rate_hps"] += worker["rate_hps"]
        entry["shares"] += worker["shares"]
    return [found[node] | {"state": _state(found[node])} for node in sorted(found)]


def node_lines(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each node, and their sum."""
    if not nodes:
        return ["no node has joined yet"]
    width = max(len(each["node"]) for each in nodes)
    lines = [
        f"{printable(each['node'], 63):{width}}  {each['state']:7}  {each['alive']} of "
        f"{many(each['workers'], 'worker')}{_miners(each)}  {_pace(each)}  {many(each['shares'], 'share')}"
        for each in nodes
    ]
    there = [each for each in nodes if each["state"] != "left"]
    lost = sum(each["state"] == "lost" for each in there)
    total = rate(sum(each["rate_hps"] for each in there))
    return [*lines, f"{many(len(there), 'node')}{f', {lost} of them lost' if lost else ''}: {total}"]


def _miners(node: Mapping[str, Any]) -> str:
    return f", {many(node['miners'], 'miner')}" if node["miners"] else ""


def _pace(node: Mapping[str, Any]) -> str:
    return rate(node["rate_hps"]) if node["gone_at"] is None else f"since {utc(node['gone_at'])} UTC"


def _state(node: Mapping[str, Any]) -> str:
    if not node["alive"]:
        return str(node.get("state", "lost"))
    return "hashing" if node["rate_hps"] else "idle"
