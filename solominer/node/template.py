"""Fetching a block template: getblocktemplate (BIP 22, 23, 145), asked for and parsed, plain or as a long poll."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from solominer.chain.networks import Network
from solominer.errors import TemplateError
from solominer.node.rpc import RpcClient, field_of, hash_from
from solominer.work.template import Template, parse_template

CAPABILITIES = ("coinbasevalue", "longpoll", "proposal")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A template, how long the node took for it, and how long its parsing and validation took."""

    template: Template
    rpc_secs: float
    parse_secs: float


@dataclass(frozen=True, slots=True)
class LongPoll:
    """What a long poll is for: the tip that the node builds on now, and the opaque id to wait with next time."""

    prevhash_le: bytes
    longpollid: str


def template_request(network: Network, longpollid: str = "") -> dict[str, Any]:
    """The parameter of getblocktemplate (mining rule 1); `longpollid` is opaque and makes the node wait (rule 4)."""
    rules = ["segwit", "signet"] if network.name == "signet" else ["segwit"]
    request: dict[str, Any] = {"rules": rules, "capabilities": list(CAPABILITIES)}
    if longpollid:
        request["longpollid"] = longpollid
    return request


def long_poll(client: RpcClient, network: Network, longpollid: str, timeout_secs: float) -> LongPoll:
    """Return at a new tip, or when the node finds its mempool changed enough; at once for an empty id. The template
    itself is not looked at: it is fetched in the ordinary way. Raises NodeError.
    """
    reply = client.call("getblocktemplate", template_request(network, longpollid), timeout_secs=timeout_secs)
    return LongPoll(
        hash_from(field_of(reply, "previousblockhash", str)),
        field_of(reply, "longpollid", str) if "longpollid" in reply else "",
    )


def fetch_template(client: RpcClient, network: Network, known_data: Mapping[bytes, str] | None = None) -> Fetched:
    """Fetch and validate a template; `known_data` as for parse_template.

    Raises NodeError, or TemplateError where the reply breaks a rule.
    """
    start = time.perf_counter()
    body = client.call_raw("getblocktemplate", template_request(network))
    received = time.perf_counter()
    reply = client.decode_reply(body, "getblocktemplate")
    del body
    if not isinstance(reply, Mapping):
        raise TemplateError("the node's template is refused: it is not an object", "check the node's version")
    template = parse_template(reply, network, known_data)
    return Fetched(template, received - start, time.perf_counter() - received)
