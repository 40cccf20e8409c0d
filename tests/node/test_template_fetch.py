"""Asking for templates: the request per network, and templates that break a rule."""

from __future__ import annotations

from typing import Any

import pytest

from solominer.chain.networks import MAINNET, REGTEST, SIGNET
from solominer.errors import TemplateError
from solominer.node.demo import synthetic_reply
from solominer.node.rpc import RpcClient
from solominer.node.template import fetch_template, template_request
from tests.node.fake_node import FakeNode

CAPABILITIES = ["coinbasevalue", "longpoll", "proposal"]


def test_the_request_names_rules_and_capabilities() -> None:
    assert template_request(MAINNET) == {"rules": ["segwit"], "capabilities": CAPABILITIES}
    assert template_request(SIGNET)["rules"] == ["segwit", "signet"]


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
