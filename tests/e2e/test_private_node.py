"""The private node on a real bitcoind: it starts, answers, stops, survives clashes, and never outlives its starter."""

from __future__ import annotations

import pytest

from solominer.node.private import PrivateNode

pytestmark = pytest.mark.e2e


def test_runs_on_regtest_with_zmq(node: PrivateNode) -> None:
    assert node.call("getblockchaininfo")["chain"] == "regtest"
    topics = {each["type"]: each["address"] for each in node.call("getzmqnotifications")}
    assert topics == {"pubhashblock": node.zmq_hashblock, "pubsequence": node.zmq_sequence}
