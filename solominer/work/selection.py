"""Which node gives the work: the usable one with the most work, without flapping between equals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solominer.work.events import NodeHealth
from solominer.work.instant import Instant


@dataclass(slots=True)
class NodeChooser:
    """Knows the last look at every node, in the order of the configuration, which is the order of preference.

    A node that is lost or has less work than another is left at once. The preferred node gets the work back only after
    it was usable and not behind for `return_secs`, so that one that comes and goes does not drag the work along.
    `lost_at`: since when none is usable, though one was looked at.
    """

    names: Sequence[str]
    return_secs: float = 30.0
    current: str | None = None
    lost_at: Instant | None = None
    healths: dict[str, NodeHealth] = field(default_factory=dict)
    _level_since: dict[str, Instant] = field(default_factory=dict)
    _shunned_until: dict[str, Instant] = field(default_factory=dict)

    def see(self, health: NodeHealth, at: Instant) -> str | None:
        """Take a new look into account; gives the name of the node that work comes from now, or None."""
        self.healths[health.node] = health
        usable = [name for name in self.names if (seen := self.healths.get(name)) and seen.usable]
        usable = [name for name in usable if self._shunned_until.get(name, at) <= at] or usable
        if not usable:
            self._level_since.clear()
            self.current = None
            self.lost_at = self.lost_at or at
            return None
        self.lost_at = None
        most = max(self.healths[name].chainwork for name in usable)
        level = [name for name in usable if self.healths[name].chainwork == most]
        self._level_since = {name: self._level_since.get(name, at) for name in level}
        if self.current not in level:
            self.current = level[0]
        else:
            steady = [name for name in level if at - self._level_since[name] >= self.return_secs]
            if steady and self._rank(steady[0]) < self._rank(self.current):
                self.current = steady[0]
        return self.current

    @property
    def used(self) -> NodeHealth | None:
        """The last look at the node that work comes from."""
        return None if self.current is None else self.healths[self.current]

    def credit(self, health: NodeHealth, tip_le: bytes) -> None:
        """Another node shows the tip that the node in use has named already: its own last look is merely older."""
        used = self.used
        if used is None or health.node == used.node or health.best_hash_le != tip_le:
            return
        if used.chainwork < health.chainwork:
            self.healths[used.node] = replace(used, best_hash_le=tip_le, chainwork=health.chainwork)

    def shun(self, node: str, until: Instant) -> bool:
        """Rather take work from any other node until then: this one looks well but gives no template.

        Says whether there is another.
        """
        self._shunned_until[node] = until
        return any(health.usable for name, health in self.healths.items() if name != node)

    def _rank(self, name: str | None) -> int:
        return self.names.index(name) if name in self.names else len(self.names)


def may_have_forgotten(old: NodeHealth, new: NodeHealth) -> bool:
    """Whether a node may have been restarted without blocks that it had accepted (rule S2)."""
    return new.reachable and (not old.reachable or new.chainwork < old.chainwork)
