"""A healthy mainnet node to examine: a fake one that answers everything as it should, and its ZMQ publishers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
import zmq

from solominer.chain.networks import MAINNET
from solominer.node.demo import DEMO_HEIGHT, synthetic_reply
from tests.node.fake_node import FakeNode, Reply

ADDRESS = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"
SCRIPT = "0014c0cebcd6c3d3ca8c75dc5ec62ebe55330ef910e2"


class HealthyNode(FakeNode):
    """Answers like a node on mainnet that is fine; tests break one answer. `clock_ahead_secs` moves its clock."""

    def __init__(self, zmq_ports: tuple[int, int]) -> None:
        super().__init__()
        self.clock_ahead_secs = 0.0
        best_hex = "00" * 8 + "ab" * 24
        now = int(time.time())
        template = synthetic_reply(MAINNET, seed=1, transactions=3, curtime=now)
        template["previousblockhash"] = best_hex
        self.template: Any = template
        self.proposal: Any = None
        self.answers = {
            "getblockchaininfo": {
                "chain": "main",
                "blocks": DEMO_HEIGHT - 1,
                "headers": DEMO_HEIGHT - 1,
                "bestblockhash": best_hex,
                "time": now - 300,
                "mediantime": now - 3000,
                "chainwork": "ff",
                "initialblockdownload": False,
                "pruned": False,
                "warnings": [],
            },
            "getblockhash": MAINNET.genesis_hex,
            "getbestblockhash": best_hex,
            "waitfornewblock": {"hash": best_hex, "height": DEMO_HEIGHT - 1},
            "getnetworkinfo": {
                "version": 290000,
                "subversion": "/Satoshi:29.0.0/",
                "connections": 10,
                "timeoffset": 0,
                "warnings": [],
            },
            "getdeploymentinfo": {
                "hash": best_hex,
                "height": DEMO_HEIGHT - 1,
                "deployments": {"segwit": {"type": "buried", "active": True, "height": 481824}},
            },
            "getzmqnotifications": [
                {"type": "pubhashblock", "address": f"tcp://127.0.0.1:{zmq_ports[0]}", "hwm": 1000},
                {"type": "pubsequence", "address": f"tcp://127.0.0.1:{zmq_ports[1]}", "hwm": 1000},
            ],
            "validateaddress": {"isvalid": True, "address": ADDRESS, "scriptPubKey": SCRIPT},
            "listwallets": [],
            "getblocktemplate": self._template_or_proposal,
            "submitblock": "high-hash",
        }

    def _template_or_proposal(self, request: dict[str, Any]) -> Any:
        return self.proposal if request.get("mode") == "proposal" else self.template

    def _perform(self, connection: Any, step: Any) -> bool:
        if isinstance(step, Reply):
            date = formatdate(time.time() + self.clock_ahead_secs, usegmt=True)
            step = Reply(step.status, step.body, {**step.headers, "Date": date}, step.claimed, step.close)
        return super()._perform(connection, step)


@pytest.fixture
def publishers() -> Iterator[tuple[int, int]]:
    """Ports of two ZMQ publishers that are there and say nothing."""
    with zmq.Context() as context, context.socket(zmq.PUB) as one, context.socket(zmq.PUB) as other:
        yield one.bind_to_random_port("tcp://127.0.0.1"), other.bind_to_random_port("tcp://127.0.0.1")
        one.linger = other.linger = 0


@pytest.fixture
def healthy(publishers: tuple[int, int]) -> Iterator[HealthyNode]:
    """A fake node with which nothing is wrong."""
    with HealthyNode(publishers) as node:
        yield node
