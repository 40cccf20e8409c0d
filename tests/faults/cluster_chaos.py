"""Faults of a cluster, in pairs, at random times: the head, the server and nodes killed, frozen or cut off.

After each pair everything is healed, every node must find a block again within BACK_SECS of being able to, and then
every block that a node said it found is looked up, and every share in the ledger.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from solominer.errors import RpcFailed
from tests.faults.cluster_site import NODE_FOUND, ClusterSite, Program

BACK_SECS = 3.0
START_SECS = 40.0
"""How long a program that was killed may take until it works again; most of it is Python's start."""
HOLD_SECS = (0.3, 2.5)
SETTLE_SECS = 20.0


@dataclass(slots=True)
class ChaosRun:
    """What one run did, and what is wrong; `back_secs` is how long the slowest node was away after the healing."""

    seed: str
    faults: tuple[str, str]
    blocks: int = 0
    back_secs: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Fault:
    """Something that goes wrong with a part of the site, and how it is mended."""

    name: str
    begin: Callable[[], None]
    mend: Callable[[], None]


def faults_of(site: ClusterSite) -> dict[str, list[_Fault]]:
    """The faults of each part."""

    def of(program: Program, start: Callable[[], None]) -> list[_Fault]:
        return [
            _Fault(f"{program.name} killed", program.kill, start),
            _Fault(f"{program.name} frozen", program.freeze, program.thaw),
        ]

    found = {"head": of(site.head, site.head.start), "server": of(site.server, site.start_server)}
    for name, node in site.nodes.items():
        cut = _Fault(f"{name} cut", site.links[name].cut, site.links[name].mend)
        found[name] = [*of(node, node.start), cut]
    return found


class Chaos:
    """Runs pairs of faults on one site."""

    def __init__(self, site: ClusterSite) -> None:
        self.site = site
        self._faults = faults_of(site)
        self._checked: set[str] = set()
        self._twice_before: set[str] = set()

    def run(self, seed: str) -> ChaosRun:
        """Two different parts fail, at random times that may overlap."""
        rng = random.Random(seed)
        parts = rng.sample(sorted(self._faults), 2)
        first, second = (rng.choice(self._faults[part]) for part in parts)
        result = ChaosRun(seed, (first.name, second.name))
        began = time.monotonic()
        first.begin()
        time.sleep(rng.uniform(0.0, 0.5))
        second.begin()
        time.sleep(rng.uniform(*HOLD_SECS))
        for fault in rng.sample((first, second), 2):
            fault.mend()
            time.sleep(rng.uniform(0.0, 0.3))
        self._wait_back(result, began)
        result.problems += self._check(result)
        return result

    def _wait_back(self, result: ChaosRun, began: float) -> None:
        """Until every node finds blocks again; from when it can is its own and the head's word that they are there."""
        site, healed = self.site, time.monotonic()
        ready = healed
        if "head killed" in result.faults:
            ready = max(ready, site.head.wait_line("connected to the cluster's server", began, secs=START_SECS))
            ready = max(ready, site.head.wait_line("mining job", ready, secs=START_SECS))
        for name, node in site.nodes.items():
            able = ready
            if f"{name} killed" in result.faults:
                able = max(able, node.wait_line("hashes with", began, secs=START_SECS))
            back = node.wait_line("BLOCK FOUND", healed, secs=START_SECS)
            late = back - able
            result.back_secs = max(result.back_secs, late)
            if late > BACK_SECS:
                result.problems.append(f"{name} was back after {late:.1f} s")
            if node.count("this node stops|does not hash|Traceback", began):
                result.problems.append(f"{name} stopped hashing")

    def _check(self, result: ChaosRun) -> list[str]:
        found = {
            match[1]: match[2]
            for node in self.site.nodes.values()
            for _, line in node.lines
            if (match := NODE_FOUND.search(line)) and match[1] not in self._checked
        }
        problems = []
        deadline = time.monotonic() + SETTLE_SECS
        missing = dict(found)
        while missing and time.monotonic() < deadline:
            missing = {block: parent for block, parent in missing.items() if not self._settled(block, parent)}
            time.sleep(0.1 if missing else 0)
        problems += [f"block {block} is lost" for block in missing]
        self._checked |= found.keys()
        result.blocks = len(found)
        return problems + self._twice()

    def _settled(self, block: str, parent: str) -> bool:
        """Whether the chain has the block, or another one on its parent, or has left the parent."""
        if self._confirmations(block) is not None:
            return True
        depth = self._confirmations(parent)
        return depth is not None and (depth < 0 or depth > 1)

    def _confirmations(self, block: str) -> int | None:
        try:
            header = self.site.bitcoind.call("getblockheader", block)
        except RpcFailed:
            return None
        assert isinstance(header, dict)
        return int(header["confirmations"])

    def _twice(self) -> list[str]:
        hashes: Counter[str] = Counter()
        for path in self.site.tree.glob("ledger/*/*/*/*/ledger.jsonl"):
            for line in path.read_text().splitlines():
                if '"kind":"share"' in line and line.endswith("}"):
                    hashes[json.loads(line)["hash"]] += 1
        twice = {share for share, times in hashes.items() if times > 1} - self._twice_before
        self._twice_before |= twice
        return [f"share {share} is counted {hashes[share]} times" for share in twice]
