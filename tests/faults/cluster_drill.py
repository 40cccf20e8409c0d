"""The crash drill: the daemon is killed between publishing a job and the find, and the block is on the chain after all.

The node's worker is frozen while a new tip brings a new job out, the daemon is killed, the worker goes on and finds a
block, the daemon is started again.
"""

from __future__ import annotations

import os
import random
import signal
import time

import psutil

from regtest.coins import mine_blocks
from tests.faults.cluster_site import NODE_FOUND, ClusterSite, Program
from tests.faults.job_watch import JobWatch

ON_CHAIN_SECS = 30.0


def workers_of(node: Program) -> list[int]:
    """Process ids of a node's workers."""
    children = psutil.Process(node.pid).children()
    return [each.pid for each in children if "solominer.engines.cpu" in " ".join(each.cmdline())]


def new_tip(site: ClusterSite) -> str:
    """Mine a block that becomes the tip: one of the node's, still under way, may take its place."""
    while True:
        (mined,) = mine_blocks(site.bitcoind, 1)
        if site.bitcoind.call("getbestblockhash") == mined:
            return mined


def drill(site: ClusterSite, rng: random.Random) -> tuple[str, float]:
    """The block that was found without a daemon, and the seconds from its restart until the chain has it.

    Raises AssertionError if it is lost.
    """
    (node,) = site.nodes.values()
    node.wait_line("BLOCK FOUND", time.monotonic())
    for pid in workers_of(node):
        os.kill(pid, signal.SIGSTOP)
    with JobWatch(site.cluster.path, site.cluster.read().servers[0]) as watch:
        tip = new_tip(site)
        watch.await_job_on(tip)
    time.sleep(rng.choice((0.0, 0.002, 0.01, 0.05)))
    site.head.kill()
    killed = time.monotonic()
    for pid in workers_of(node):
        os.kill(pid, signal.SIGCONT)
    found_at = node.wait_line(f"BLOCK FOUND: .* on {tip}", killed)
    (block,) = [match[1] for at, line in node.lines if at == found_at and (match := NODE_FOUND.search(line))]
    restarted = time.monotonic()
    site.head.start()
    site.head.wait_line(f"block [0-9]+ {block} is accepted", restarted, secs=ON_CHAIN_SECS)
    header = site.bitcoind.call("getblockheader", block)
    assert isinstance(header, dict)
    assert header["confirmations"] >= 1, f"block {block} is not in the chain"
    return block, time.monotonic() - restarted
