"""The choice of the node to mine with: the usable one with the most chainwork, without flapping between equals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solominer.work.events import NodeHealth
from solominer.work.instant import Instant


@dataclass(slots=True)
class NodeChooser:
    """Chooses from the last health of every node; `names` are in order of preference.

    A node that is lost or has less chainwork than another is left at once. A preferred node is used again only after it
    was usable and not behind for `return_secs`, so that an unstable one does not cause flapping. `lost_at`: since when
    no node is usable, None before the first health.
    """

    names: Sequence[str]
    return_secs: float = 30.0
    current: str | None = None
    lost_at: Instant | None = None
    healths: dict[str, NodeHealth] = field(default_factory=dict)
    _level_since: dict[str, Instant] = field(default_factory=dict)
    _shunned_until: dict[str, Instant] = field(default_factory=dict)

    def see(self, health: NodeHealth, at: Instant) -> str | None:
        """Update a node's health; returns the name of the node in use now, or None."""
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
        """The last health of the node in use."""
        return None if self.current is None else self.healths[self.current]

    def credit(self, health: NodeHealth, tip_le: bytes) -> None:
        """Another node has the tip that the node in use already announced: only the latter's health is outdated."""
        used = self.used
        if used is None or health.node == used.node or health.best_hash_le != tip_le:
            return
        if used.chainwork < health.chainwork:
            self.healths[used.node] = replace(
                used, best_hash_le=tip_le, chainwork=health.chainwork, height=health.height, tip_time=health.tip_time
            )

    def shun(self, node: str, until: Instant) -> bool:
        """Prefer any other node until then, because this one looks healthy but provides no template.

        Returns whether there is another usable one.
        """
        self._shunned_until[node] = until
        return any(health.usable for name, health in self.healths.items() if name != node)

    def _rank(self, name: str | None) -> int:
        return self.names.index(name) if name in self.names else len(self.names)


def may_have_forgotten(old: NodeHealth, new: NodeHealth) -> bool:
    """Whether a node may have lost accepted blocks in a restart (rule S2)."""
    return new.reachable and (not old.reachable or new.chainwork < old.chainwork)
