"""Detects nodes on different chains, which of them have less work, and when to raise an alarm. Pure.

Two nodes with different tips are compared after a delay: either one is behind, or they are on different chains since
some height. A node with less work is `beaten`: blocks that only it has in its active chain do not count. This applies
at once; the alarm is delayed, as short forks are normal:
- a competing block at the same height, with equal work, lasts until the next block: rarely an hour (e^-6);
- a node one block deep on the weaker chain gets the better one within seconds, or a minute on a slow connection;
- two or more blocks on both sides are not a normal race of two miners.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from solominer.work.actions import Action, Alarm, CompareNodes, Record, Severity
from solominer.work.events import NodeHealth, NodesCompared
from solominer.work.instant import Instant

COMPARE_AFTER_SECS = 2.0
"""How long two nodes may have different tips before they are compared, as a new block may be propagating."""

AGAIN_SECS = 3.0
"""How often nodes on two chains are compared again."""

UNANSWERED_SECS = 30.0
"""When an unanswered comparison is repeated."""

DEEP_SECS, SHALLOW_SECS, TIE_SECS = 3.0, 60.0, 3600.0
"""Delay of the alarm: two or more blocks on both sides; one block on one side; one on each with equal work."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Two nodes on different chains from `height` on. `loser` has less work than `winner`, or equal work."""

    winner: NodeHealth
    loser: NodeHealth
    height: int

    @property
    def is_tie(self) -> bool:
        """Whether both chains have the same work."""
        return self.winner.chainwork == self.loser.chainwork

    @property
    def patience_secs(self) -> float:
        """Delay of its alarm."""
        if min(self.winner.height, self.loser.height) > self.height:
            return DEEP_SECS
        return TIE_SECS if self.is_tie else SHALLOW_SECS


@dataclass(slots=True)
class _Pair:
    """Two nodes: their latest tips, the compared ones, when to compare next, and the result.

    `agreed`: they were on the same chain when last compared.
    """

    tips: tuple[bytes, bytes] = (b"", b"")
    compared: tuple[bytes, bytes] = (b"", b"")
    due_at: Instant | None = None
    fork: Fork | None = None
    agreed: bool = False
    since: Instant | None = None
    alarmed_for: str | None = None


class ForkWatch:
    """Watches the nodes called `names`; returns CompareNodes, handles NodesCompared."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._pairs: dict[tuple[str, str], _Pair] = {}

    @property
    def forks(self) -> list[Fork]:
        """The current forks for which an alarm was raised."""
        return [fork for fork in self._deciding() if self._pair_of(fork).alarmed_for is not None]

    @property
    def beaten(self) -> frozenset[str]:
        """The nodes whose chain has less work than another usable node's."""
        return frozenset(fork.loser.node for fork in self._deciding() if not fork.is_tie and fork.winner.usable)

    def _deciding(self) -> list[Fork]:
        """The forks, except those decided by a third node that beats the winner and is on the loser's chain."""
        forks = [pair.fork for pair in self._pairs.values() if pair.fork is not None]

        def decided(fork: Fork) -> bool:
            better = (each for each in forks if each.loser.node == fork.winner.node and not each.is_tie)
            return any(self._agreed(each.winner.node, fork.loser.node) for each in better)

        return [fork for fork in forks if not decided(fork)]

    def _agreed(self, one: str, other: str) -> bool:
        pair = self._pairs.get(self._key(one, other))
        return pair is not None and pair.agreed

    def _key(self, one: str, other: str) -> tuple[str, str]:
        return (one, other) if self._names.index(one) < self._names.index(other) else (other, one)

    def _pair_of(self, fork: Fork) -> _Pair:
        return self._pairs[self._key(fork.winner.node, fork.loser.node)]

    def note(self, node: str) -> str:
        """A note about a node's chain for `status`, or ''."""
        for fork in self.forks:
            if node in (fork.loser.node, fork.winner.node):
                work = "equal" if fork.is_tie else "less" if node == fork.loser.node else "more"
                other = fork.winner.node if node == fork.loser.node else fork.loser.node
                return f"on a different chain from {other} since height {fork.height}, with {work} work"
        return ""

    def seen(self, healths: Mapping[str, NodeHealth], at: Instant) -> list[Action]:
        """Handle new health checks: schedule comparisons with the best node, and report nodes that agree again."""
        actions: list[Action] = []
        for one, other in self._worth_comparing(healths):
            a, b = healths[one], healths[other]
            pair = self._pairs.setdefault((one, other), _Pair())
            pair.tips = (a.best_hash_le, b.best_hash_le)
            if a.best_hash_le == b.best_hash_le:
                actions += self._agree(one, other)
            elif pair.fork is not None and (a.chainwork > b.chainwork) != (pair.fork.winner.node == one):
                pair.due_at = min(at, at if pair.due_at is None else pair.due_at)
            elif pair.due_at is None and pair.tips != pair.compared:
                pair.due_at = at + COMPARE_AFTER_SECS
        self._forget_unreachable_winners(healths)
        return actions

    def tick(self, at: Instant) -> list[Action]:
        """The comparisons that are due."""
        actions: list[Action] = []
        for (one, other), pair in self._pairs.items():
            if pair.due_at is not None and pair.due_at <= at:
                pair.due_at, pair.compared = at + UNANSWERED_SECS, pair.tips
                actions.append(CompareNodes(one, other))
        return actions

    def compared(self, event: NodesCompared) -> list[Action]:
        """The answer to CompareNodes."""
        one, other = event.one, event.other
        pair = self._pairs.get((one.node, other.node))
        if pair is None:
            return []
        if event.common_height >= min(one.height, other.height):
            return self._agree(one.node, other.node)
        winner, loser = (one, other) if one.chainwork >= other.chainwork else (other, one)
        if pair.fork is None or pair.since is None:
            pair.since = event.at
        pair.fork = fork = Fork(winner, loser, event.common_height + 1)
        pair.agreed, pair.due_at = False, event.at + AGAIN_SECS
        name = "" if fork.is_tie else loser.node
        early = event.at - pair.since < fork.patience_secs
        if pair.alarmed_for == name or early or fork not in self._deciding():
            return []
        pair.alarmed_for = name
        return [_alarm(fork)]

    def _worth_comparing(self, healths: Mapping[str, NodeHealth]) -> list[tuple[str, str]]:
        """Pairs of every node with the best usable one, and pairs that are on different chains."""
        there = [name for name in self._names if name in healths and healths[name].best_hash_le]
        usable = [name for name in there if healths[name].usable]
        if not usable:
            return []
        best = max(usable, key=lambda name: healths[name].chainwork)
        chosen = {self._key(best, name) for name in there if name != best}
        chosen |= {key for key, pair in self._pairs.items() if pair.fork is not None and set(key) <= set(there)}
        return sorted(chosen)

    def _agree(self, one: str, other: str) -> list[Action]:
        pair = self._pairs[one, other]
        alarmed, fork = pair.alarmed_for is not None, pair.fork
        pair.fork, pair.agreed, pair.alarmed_for, pair.due_at = None, True, None, None
        if fork is None or not alarmed:
            return []
        text = f"nodes {one} and {other} are on the same chain again, after a fork at height {fork.height}"
        return [Record("nodes_agree", {"nodes": [one, other]}), Alarm(Severity.INFO, "nodes-agree", text)]

    def _forget_unreachable_winners(self, healths: Mapping[str, NodeHealth]) -> None:
        """Drop forks whose winner is unreachable and whose loser has more work by now."""
        for pair in self._pairs.values():
            fork = pair.fork
            if fork is None or healths[fork.winner.node].reachable:
                continue
            if healths[fork.loser.node].chainwork > fork.winner.chainwork:
                pair.fork, pair.alarmed_for, pair.due_at = None, None, None


def common_height(height: int) -> Generator[int, bool, int]:
    """The last common height of two chains that have the same genesis block and reach `height`.

    Yields heights and is sent whether both have the same block there; about 2·log2(depth) steps, as most forks are
    shallow.
    """
    if (yield height):
        return height
    different, step = height, 1
    while different - step > 0 and not (yield different - step):
        different, step = different - step, 2 * step
    common = max(different - step, 0)
    while different - common > 1:
        middle = (common + different) // 2
        if (yield middle):
            common = middle
        else:
            different = middle
    return common


def _alarm(fork: Fork) -> Alarm:
    winner, loser = fork.winner, fork.loser
    text = f"nodes {winner.node} and {loser.node} disagree: they are on different chains since height {fork.height}; "
    if fork.is_tie:
        text += f"both have the same work (heights {winner.height} and {loser.height})"
    else:
        text += f"{loser.node} has less work (height {loser.height}, {winner.node} {winner.height})"
        if winner.usable:
            text += ", so blocks on its chain are stale and do not count"
    todo = f"connect them with addnode; check the peers, version and debug.log of {loser.node} (getchaintips)"
    return Alarm(Severity.HIGH, "nodes-disagree", text, todo)
