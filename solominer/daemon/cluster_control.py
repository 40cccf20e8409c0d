"""What the control socket is asked about nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from solominer.chain.fields import Field
from solominer.daemon.host_metrics import now
from solominer.daemon.parts import Parts
from solominer.errors import ConfigError
from solominer.governor.audit import MAX_BY, UNNAMED


def cluster_handlers(parts: Parts) -> dict[str, Callable[[Field], dict[str, Any]]]:
    """The handlers by command."""

    def drain(request: Field) -> dict[str, Any]:
        """Have a node send what it has, and end."""
        from solominer.engines.cluster.messages import Notice

        node = request["node"].text()
        if parts.cluster is None or node not in parts.cluster.nodes:
            raise ConfigError(f"no node {node} has joined", "solominer cluster status shows those that have")
        parts.cluster.tell(node, Notice.DRAIN)
        by = request.get("by")
        fields = {"what": "cluster-drain", "by": UNNAMED if by is None else by.text(MAX_BY), "ok": True, "result": node}
        parts.recorder.record(now().wall, "control", fields)
        return {"node": node}

    def remove(request: Field) -> dict[str, Any]:
        """The servers refuse this node from now on: show it no more."""
        if parts.cluster is not None:
            parts.cluster.remove(request["node"].text())
        return {}

    return {"cluster-drain": drain, "cluster-remove": remove}
