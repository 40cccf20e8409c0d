"""The head alone is cut off from the server, while nodes, server and the daemon that stands by are there.

A short cut costs the head nothing but the time. After a long one the other daemon is the head; the old one, when its
link is mended, ends with a clear line, is started again and stands by. One way of the link may be cut, or both.

With three servers the whole network is cut in two instead, and both sides live.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from solominer.engines.cluster.lease import SILENT_SECS
from tests.faults.cluster_chaos import SETTLE_SECS, START_SECS, Books, Fates
from tests.faults.cluster_drill import new_tip
from tests.faults.cluster_site import ClusterSite
from tests.faults.job_watch import JobWatch
from tests.faults.split_site import SplitSite

WAYS = {"both ways": (True, True), "only to the server": (True, False), "only from it": (False, True)}
TAKEN_OVER_SECS = SILENT_SECS + 3.0
"""From the cut to the other daemon's first job; a second is the key's age, the rest for a busy machine."""
BACK_SECS = 6.0
"""From the mending of a short cut until nodes have a new job of the same head."""
SPLIT_OVER_SECS = 25.0
"""The same with three servers: those of the greater side elect leaders first, of each stream and of all."""
ENDED_SECS = 12.0
HEAD_NOW = "is the head of the cluster now"
OVERTAKEN = "another daemon has become the head of this cluster: this one publishes no more, and ends"


@dataclass(slots=True)
class CutRun:
    """What one run did. `over_secs` is from the cut to the next head's first job, `end_secs` from the mending to the
    old one's end; None if the head kept its place, as `back_secs` tells. `late` jobs came when it was replaced.
    """

    seed: str
    ways: str
    over_secs: float | None = None
    end_secs: float | None = None
    back_secs: float | None = None
    blocks: int = 0
    late: int = 0
    twice: int = 0
    problems: list[str] = field(default_factory=list)


class HeadCuts:
    """Runs on one site with links and a daemon that stands by."""

    most_over_secs = TAKEN_OVER_SECS

    def __init__(self, site: ClusterSite, watch: JobWatch) -> None:
        self.site, self.watch = site, watch
        self.head, self.standby = site.heads
        self._fates, self._books = Fates(site), Books(site)

    def run(self, seed: str) -> CutRun:
        """Cut, wait, mend, check."""
        rng = random.Random(seed)
        late_before, problems_before, cut_at = self.watch.late(), len(self.watch.problems()), time.monotonic()
        ways, is_long = self._cut(rng)
        result = CutRun(seed, ways)
        if is_long:
            self._long(rng, result, cut_at)
        else:
            time.sleep(rng.uniform(0.2, 2.5))
            self._mend()
            self._keeps_its_place(result, cut_at)
        for node in self.site.nodes.values():
            node.wait_line("BLOCK FOUND", time.monotonic(), secs=START_SECS)
            if node.count("this node stops|does not hash|Traceback", cut_at):
                result.problems.append(f"{node.name} stopped hashing")
        lost, result.blocks = self._fates.check(SETTLE_SECS)
        twice, result.twice = self._books.check()
        result.problems += [*lost, *twice, *self.watch.problems()[problems_before:]]
        result.late = self.watch.late() - late_before
        return result

    def _cut(self, rng: random.Random) -> tuple[str, bool]:
        """Which ways are cut, and whether it is for long."""
        ways, is_long = rng.choice(sorted(WAYS)), rng.random() < 0.7
        to, back = WAYS[ways]
        self.site.links[self.head.name].cut(to=to, back=back)
        return ways, is_long

    def _mend(self) -> None:
        self.site.links[self.head.name].mend()

    def _long(self, rng: random.Random, result: CutRun, cut_at: float) -> None:
        old, new = self.head, self.standby
        new.wait_line(HEAD_NOW, cut_at, secs=START_SECS)
        result.over_secs = new.wait_line("mining job", cut_at, secs=START_SECS) - cut_at
        if result.over_secs > self.most_over_secs:
            result.problems.append(f"nobody was the head for {result.over_secs:.1f} s")
        time.sleep(rng.uniform(0.0, 3.0))
        new_tip(self.site)  # the old head has a job to publish as well
        mended = time.monotonic()
        self._mend()
        old.wait_line(OVERTAKEN, mended, secs=START_SECS)
        if (code := old.wait_end(START_SECS)) != 1:
            result.problems.append(f"the old head ended with exit code {code}")
        result.end_secs = time.monotonic() - mended
        if result.end_secs > ENDED_SECS:
            result.problems.append(f"the old head ended after {result.end_secs:.1f} s")
        if not old.count("^.*another daemon has become the head of this cluster$", mended):
            result.problems.append("the old head's last words are not clear")
        if new.count(OVERTAKEN, cut_at):
            result.problems.append("the new head was replaced")
        again = time.monotonic()
        old.start()
        old.wait_line("standing by: .* is the head", again, secs=START_SECS)
        self.head, self.standby = new, old

    def _keeps_its_place(self, result: CutRun, cut_at: float) -> None:
        mended = time.monotonic()
        tip = new_tip(self.site)
        made = self.head.wait_line(f"mining job .* on {tip[-12:]}", mended, secs=START_SECS)
        while not any(heard.at > made for heard in tuple(self.watch.taken)):
            if time.monotonic() - mended > START_SECS:
                raise AssertionError("no job comes out after a short cut")
            time.sleep(0.02)
        result.back_secs = next(heard.at for heard in self.watch.taken if heard.at > made) - mended
        if result.back_secs > BACK_SECS:
            result.problems.append(f"no new job for {result.back_secs:.1f} s after the cut")
        if self.standby.count(HEAD_NOW, cut_at) or self.head.count(OVERTAKEN, cut_at):
            result.problems.append("the head lost its place in a short cut")


class Splits(HeadCuts):
    """The same with three servers: the head, a node and a server are cut off from all others."""

    most_over_secs = SPLIT_OVER_SECS

    def __init__(self, site: SplitSite, watch: JobWatch) -> None:
        super().__init__(site, watch)
        self._split_site = site

    def _cut(self, rng: random.Random) -> tuple[str, bool]:
        self._split_site.split(self.head.name)
        return "in two", True

    def _mend(self) -> None:
        self._split_site.join()
