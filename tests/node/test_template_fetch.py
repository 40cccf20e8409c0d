"""Asking for templates: the request per network, what a long poll gives, and templates that break a rule."""

from __future__ import annotations

from typing import Any

import pytest

from solominer.chain.hashes import from_rpc_hex
from solominer.chain.networks import MAINNET, REGTEST, SIGNET
from solominer.errors import NodeError, TemplateError
from solominer.node.demo import synthetic_reply
from solominer.node.rpc import RpcClient
from solominer.node.template import LongPoll, fetch_template, long_poll, template_request
from tests.node.fake_node import FakeNode

CAPABILITIES = ["coinbasevalue", "longpoll", "proposal"]


def test_the_request_names_rules_and_capabilities() -> None:
    assert template_request(MAINNET) == {"rules": ["segwit"], "capabilities": CAPABILITIES}
    assert template_request(SIGNET)["rules"] == ["segwit", "signet"]
    assert template_request(MAINNET, "opaque") == {**template_request(MAINNET), "longpollid": "opaque"}


def test_a_template_is_fetched_parsed_and_timed(fake: FakeNode, client: RpcClient) -> None:
    reply = synthetic_reply(REGTEST, seed=1, transactions=20)
    fake.answers["getblocktemplate"] = reply
    fetched = fetch_template(client, REGTEST)
    assert fetched.template.prevhash_hex == reply["previousblockhash"]
    assert len(fetched.template.transactions) == 20
    assert fetched.rpc_secs > 0
    assert fetched.parse_secs > 0
    assert fake.requests[0].params == [template_request(REGTEST)]


@pytest.mark.parametrize("reply", [None, [], "text", {}, {"version": "1"}])
def test_what_is_no_template_is_refused(fake: FakeNode, client: RpcClient, reply: Any) -> None:
    fake.answers["getblocktemplate"] = reply
    with pytest.raises(TemplateError):
        fetch_template(client, REGTEST)


def test_a_long_poll_sends_the_id_and_gives_the_next(fake: FakeNode, client: RpcClient) -> None:
    hash_hex = "ab" * 32
    fake.answers["getblocktemplate"] = {"previousblockhash": hash_hex, "longpollid": "next"}
    assert long_poll(client, REGTEST, "last", 10.0) == LongPoll(from_rpc_hex(hash_hex), "next")
    assert fake.requests[0].params[0]["longpollid"] == "last"
    del fake.answers["getblocktemplate"]["longpollid"]
    assert long_poll(client, REGTEST, "", 10.0).longpollid == ""
    assert "longpollid" not in fake.requests[1].params[0]


@pytest.mark.parametrize("reply", [None, {}, {"previousblockhash": "xx", "longpollid": "a"}])
def test_a_long_poll_without_a_tip_is_an_error(fake: FakeNode, client: RpcClient, reply: Any) -> None:
    fake.answers["getblocktemplate"] = reply
    with pytest.raises(NodeError):
        long_poll(client, REGTEST, "", 10.0)
