"""Two daemons of one cluster: one is the head, the other takes over, and no block is lost between them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from solominer.engines.cluster.lease import SILENT_SECS
from solominer.errors import SolominerError
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.records.control_client import ask
from tests.faults.block_fates import check_blocks
from tests.faults.cluster_drill import new_tip, workers_of
from tests.faults.cluster_site import NODE_FOUND, PATIENCE_SECS, ClusterSite, Program
from tests.faults.job_watch import JobWatch

TAKEN_OVER_SECS = SILENT_SECS + 25
"""Most of it for a machine that is busy: about 7 s are usual."""
HEAD_NOW = "is the head of the cluster now"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def starts_to_stand_by(daemon: Program) -> None:
    """Start it beside a head."""
    began = time.monotonic()
    daemon.start()
    daemon.wait_line("standing by: .* is the head", began)


def becomes_the_head(daemon: Program, since: float) -> float:
    """When its first job went out."""
    daemon.wait_line(HEAD_NOW, since, secs=TAKEN_OVER_SECS)
    return daemon.wait_line("mining job", since, secs=TAKEN_OVER_SECS)


def test_mining_goes_on_when_the_head_is_killed_or_frozen(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    with ClusterSite(bitcoind_binary, tmp_path, 1, standby=True) as site:
        first, second = site.heads
        (node,) = site.nodes.values()
        node.wait_line("BLOCK FOUND")
        starts_to_stand_by(second)
        with pytest.raises(SolominerError, match="standing by: "):
            ask(site.trees[1], {"do": "status"})

        # Killed with a job out, of which a block is found before anybody takes over.
        for pid in workers_of(node):
            os.kill(pid, signal.SIGSTOP)
        with JobWatch(site.cluster.path, site.cluster.read().servers[0]) as watch:
            tip = new_tip(site)
            watch.await_job_on(tip)
        second.freeze()
        first.kill()
        killed = time.monotonic()
        for pid in workers_of(node):
            os.kill(pid, signal.SIGCONT)
        found_at = node.wait_line(f"BLOCK FOUND: .* on {tip}", killed)
        second.thaw()
        (line,) = [line for at, line in node.lines if at == found_at]
        match = NODE_FOUND.search(line)
        assert match is not None
        assert becomes_the_head(second, killed) - killed < TAKEN_OVER_SECS
        second.wait_line(f"block [0-9]+ {match[1]} is accepted", killed)
        node.wait_line("BLOCK FOUND", second.wait_line("node n1 joined", killed))

        # Frozen: when it goes on, it hears that it is not the head any more.
        starts_to_stand_by(first)
        frozen = time.monotonic()
        second.freeze()
        becomes_the_head(first, frozen)
        thawed = time.monotonic()
        second.thaw()
        second.wait_line("another daemon has become the head of this cluster: this one publishes no more", thawed)
        assert second.wait_end(PATIENCE_SECS) == 1  # what it had under way is waited for
        assert first.count("another daemon") == 0
        node.wait_line("BLOCK FOUND", thawed)

        assert node.stop() == 0
        assert first.stop() == 0
        assert check_blocks([site.bitcoind], site.found_by_nodes(), site.trees).problems == []
