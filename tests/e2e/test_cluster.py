"""A cluster of real processes: nodes find blocks of a real node's chain, also while the daemon is dead.

CLUSTER_DRILLS is how often the daemon is killed between publishing a job and the find, CLUSTER_CHAOS how many pairs of
other faults are tried; few unless told.
"""

from __future__ import annotations

import logging
import os
import random
from pathlib import Path

import pytest

from solominer.node.private.bitcoind import BitcoindBinary
from solominer.records.evidence.verify import verify
from tests.faults.block_fates import check_blocks
from tests.faults.cluster_chaos import Chaos
from tests.faults.cluster_drill import drill
from tests.faults.cluster_site import ClusterSite

DRILLS = int(os.environ.get("CLUSTER_DRILLS", "2"))
CHAOS = int(os.environ.get("CLUSTER_CHAOS", "2"))

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(100 + 20 * (DRILLS + CHAOS))]


def test_blocks_of_nodes_are_accepted_recorded_and_proven(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    with ClusterSite(bitcoind_binary, tmp_path, 2) as site:
        for node in site.nodes.values():
            node.wait_line("BLOCK FOUND")
        site.head.wait_line("is accepted", count=5)
        assert [node.stop() for node in site.nodes.values()] == [0, 0]
        assert site.head.stop() == 0
        found = site.found_by_nodes()
        result = check_blocks([site.bitcoind], found, [site.tree])
        assert result.problems == []
        assert verify(site.tree).holds
        ledger = next(site.tree.glob("ledger/*/*/*/*/ledger.jsonl")).read_text()
        assert ledger.count('"kind":"cluster_lease"') == 2
        assert '"worker":"cluster/n1.cpu0"' in ledger


def test_no_pair_of_faults_costs_a_block_or_counts_a_share_twice(
    bitcoind_binary: BitcoindBinary, tmp_path: Path
) -> None:
    with ClusterSite(bitcoind_binary, tmp_path, 2, links=True) as site:
        for node in site.nodes.values():
            node.wait_line("BLOCK FOUND")
        chaos = Chaos(site)
        for number in range(CHAOS):
            run = chaos.run(f"e2e-{number}")
            assert run.problems == [], (run.seed, run.faults)
            assert run.blocks


def test_a_block_found_while_the_daemon_is_dead_is_on_the_chain(
    bitcoind_binary: BitcoindBinary, tmp_path: Path
) -> None:
    rng = random.Random(7)
    with ClusterSite(bitcoind_binary, tmp_path, 1) as site:
        slowest_secs = max(drill(site, rng)[1] for _ in range(DRILLS))
    log.info("the slowest block was in the chain %.1f s after the restart", slowest_secs)
