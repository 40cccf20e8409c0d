"""Requests on the control socket about nodes of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from solominer.chain.fields import Field
from solominer.daemon.host_metrics import now
from solominer.daemon.parts import Parts
from solominer.errors import ConfigError
from solominer.governor.audit import Audit


def cluster_handlers(parts: Parts) -> dict[str, Callable[[Field], dict[str, Any]]]:
    """The handlers by command."""
    audit = Audit(parts.recorder.record, now)

    def drain(request: Field) -> dict[str, Any]:
        """Have a node send what it has, and end."""
        from solominer.engines.cluster.messages import Notice

        node = request["node"].text()
        with audit.request(request) as done:
            if parts.cluster is None or node not in parts.cluster.nodes:
                raise ConfigError(f"no node {node} has joined", "solominer cluster status shows those that have")
            parts.cluster.tell(node, Notice.DRAIN)
            done.append(node)
        return {"node": node}

    def remove(request: Field) -> dict[str, Any]:
        """The servers refuse this node from now on: show it no more."""
        if parts.cluster is not None:
            parts.cluster.remove(request["node"].text())
        return {}

    return {"cluster-drain": drain, "cluster-remove": remove}
