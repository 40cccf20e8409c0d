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
from pathlib import Path

from solominer.errors import RpcFailed
from tests.faults.cluster_site import ClusterSite, Program

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

    found = {"server": of(site.server, site.start_server)}
    for program in (site.head, *site.nodes.values()):
        link = site.links[program.name]
        found[program.name] = [*of(program, program.start), _Fault(f"{program.name} cut", link.cut, link.mend)]
    return found


class Chaos:
    """Runs pairs of faults on one site."""

    def __init__(self, site: ClusterSite) -> None:
        self.site = site
        self._faults = faults_of(site)
        self._fates, self._books = Fates(site), Books(site)

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
        lost, result.blocks = self._fates.check(SETTLE_SECS)
        result.problems += [*lost, *self._books.check()[0]]
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


class Fates:
    """What became of the blocks that nodes said they found."""

    def __init__(self, site: ClusterSite) -> None:
        self._site = site
        self._checked: set[str] = set()

    def check(self, within_secs: float) -> tuple[list[str], int]:
        """What is wrong with those since the last check, and how many they are."""
        found = {block: parent for block, parent in self._site.found_by_nodes().items() if block not in self._checked}
        deadline = time.monotonic() + within_secs
        missing = dict(found)
        while missing and time.monotonic() < deadline:
            missing = {block: parent for block, parent in missing.items() if not self._settled(block, parent)}
            time.sleep(0.1 if missing else 0)
        self._checked |= found.keys()
        return [f"block {block} is lost" for block in missing], len(found)

    def _settled(self, block: str, parent: str) -> bool:
        """Whether the chain has the block, or another one on its parent, or has left the parent."""
        if self._confirmations(block) is not None:
            return True
        depth = self._confirmations(parent)
        return depth is not None and (depth < 0 or depth > 1)

    def _confirmations(self, block: str) -> int | None:
        try:
            header = self._site.bitcoind.call("getblockheader", block)
        except RpcFailed:
            return None
        assert isinstance(header, dict)
        return int(header["confirmations"])


class Books:
    """The shares in the ledgers of all daemons."""

    def __init__(self, site: ClusterSite) -> None:
        self._site = site
        self._twice: set[str] = set()
        self._in_two: set[str] = set()

    def check(self) -> tuple[list[str], int]:
        """Those that a ledger has twice since the last check, and how many of two ledgers there are."""
        books = [_shares(tree) for tree in self._site.trees]
        twice = {share for book in books for share, times in book.items() if times > 1} - self._twice
        everywhere = Counter(share for book in books for share in book)
        in_two = {share for share, times in everywhere.items() if times > 1} - self._in_two
        self._twice |= twice
        self._in_two |= in_two
        return [f"share {share} is counted twice" for share in twice], len(in_two)


def _shares(tree: Path) -> Counter[str]:
    """How often the ledger below `tree` has each share, by hash."""
    hashes: Counter[str] = Counter()
    for path in tree.glob("ledger/*/*/*/*/ledger.jsonl"):
        for line in path.read_text().splitlines():
            if '"kind":"share"' in line and line.endswith("}"):
                hashes[json.loads(line)["hash"]] += 1
    return hashes
