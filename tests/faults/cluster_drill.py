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


def drill(site: ClusterSite, rng: random.Random) -> tuple[str, float] | None:
    """The block that was found without a daemon, and the seconds from its restart until the chain has it.

    None if the node had not heard of the new job yet when the daemon died. Raises AssertionError if a block is lost.
    """
    (node,) = site.nodes.values()
    node.wait_line("BLOCK FOUND", time.monotonic())
    for pid in workers_of(node):
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    tip = new_tip(site)
    site.head.wait_line(f"mining job .* on {tip[-12:]}", began)
    time.sleep(rng.choice((0.0, 0.002, 0.01, 0.05)))
    site.head.kill()
    killed = time.monotonic()
    for pid in workers_of(node):
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)  # the worker finds a block of whatever job the node has
    found = [
        match for at, line in node.lines if at >= killed and (match := NODE_FOUND.search(line)) and match[2] == tip
    ]
    restarted = time.monotonic()
    site.head.start()
    if not found:
        return None
    block = found[0][1]
    site.head.wait_line(f"block [0-9]+ {block} is accepted", restarted, secs=ON_CHAIN_SECS)
    header = site.bitcoind.call("getblockheader", block)
    assert isinstance(header, dict)
    assert header["confirmations"] >= 1, f"block {block} is not in the chain"
    return block, time.monotonic() - restarted
