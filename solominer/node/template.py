"""Fetching a block template: getblocktemplate (BIP 22, 23, 145)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from solominer.chain.networks import Network
from solominer.node.rpc import RpcClient
from solominer.work.template import Template, TemplateTx, parse_template

CAPABILITIES = ("coinbasevalue", "longpoll", "proposal")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A template, the duration of the RPC call, and the duration of parsing and validation."""

    template: Template
    rpc_secs: float
    parse_secs: float


def template_request(network: Network) -> dict[str, Any]:
    """The parameter of getblocktemplate (mining rule 1)."""
    rules = ["segwit", "signet"] if network.name == "signet" else ["segwit"]
    return {"rules": rules, "capabilities": list(CAPABILITIES)}


def fetch_template(client: RpcClient, network: Network, known: Mapping[bytes, TemplateTx] | None = None) -> Fetched:
    """Fetch and validate a template; `known` as for parse_template. Raises NodeError, TemplateError."""
    start = time.perf_counter()
    body = client.call_raw("getblocktemplate", template_request(network))
    received = time.perf_counter()
    reply = client.decode_reply(body, "getblocktemplate")
    del body
    template = parse_template(reply, network, known)
    return Fetched(template, received - start, time.perf_counter() - received)
