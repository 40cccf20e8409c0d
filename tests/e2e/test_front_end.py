"""A miner at a node's Stratum port, in a cluster of real processes: what it was answered with true is on the chain."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from solominer.node.private.bitcoind import BitcoindBinary
from solominer.records.control_client import ask
from solominer.records.evidence.verify import verify
from tests.e2e.stratum_rig import confirmations, solve
from tests.engines.stratum.wire import WireMiner
from tests.faults.block_fates import check_blocks
from tests.faults.cluster_site import PATIENCE_SECS, ClusterSite
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MINER = "cluster/n1.stratum/rack1.s19"


def hand_in_a_block(miner: WireMiner) -> str:
    """Its hash, when it is accepted."""
    params, hash_hex = solve(miner, extranonce2=bytes(4))
    answer = miner.hand_in(params, "rack1.s19")
    assert answer["result"] is True, answer
    return hash_hex


def until_on_the_chain(site: ClusterSite, hash_hex: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECS
    while confirmations(site.bitcoind, hash_hex) < 1:
        assert time.monotonic() < deadline, [line for _, line in site.head.lines[-5:]]
        time.sleep(0.05)


def credited(site: ClusterSite) -> dict[str, Any]:
    """The miner in the daemon's status."""
    workers = ask(site.tree, {"do": "status"})["status"]["workers"]
    return next((each for each in workers if each["worker"] == MINER), {"shares": 0})


def test_a_miners_block_is_on_the_chain_also_if_its_node_is_killed_before_it_was_sent(
    bitcoind_binary: BitcoindBinary, tmp_path: Path
) -> None:
    port = free_port()
    work = ("--cpu-workers", "0", "--stratum", f"127.0.0.1:{port}")
    with ClusterSite(bitcoind_binary, tmp_path, 1, work=work) as site:
        (node,) = site.nodes.values()

        def miner(since: float = 0.0, session: str = "") -> WireMiner:
            node.wait_line("miners connect to", since)
            made = WireMiner(url=f"stratum+tcp://127.0.0.1:{port}")
            made.log_in(user="rack1.s19", session=session)
            return made

        rig = miner()
        first = hand_in_a_block(rig)
        until_on_the_chain(site, first)
        deadline = time.monotonic() + PATIENCE_SECS
        while not credited(site)["shares"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert credited(site)["hashes_counted"] == 0 < credited(site)["hashes_credited"]

        rig.until("mining.notify", count=2)
        site.server.freeze()
        second = hand_in_a_block(rig)
        killed = time.monotonic()
        node.kill()
        assert confirmations(site.bitcoind, second) < 1
        site.server.thaw()
        node.start()
        until_on_the_chain(site, second)
        again = miner(killed, rig.session_id)
        assert (again.session_id, again.extranonce1) == (rig.session_id, rig.extranonce1)
        third = hand_in_a_block(again)
        until_on_the_chain(site, third)
        assert site.head.stop() == 0

        found = site.found_by_nodes()
        assert set(found) == {first, second, third}
        assert check_blocks([site.bitcoind], found, [site.tree]).problems == []
        assert verify(site.tree).holds
        ledgers = sorted(site.tree.glob("ledger/*/*/*/*/ledger.jsonl"))
        lines = [json.loads(line) for ledger in ledgers for line in ledger.read_text().splitlines()]
        shares = [line for line in lines if line["kind"] == "share"]
        assert [(line["worker"], line["hash"]) for line in shares] == [(MINER, each) for each in (first, second, third)]
    while WireMiner.opened:
        WireMiner.opened.pop().close()
