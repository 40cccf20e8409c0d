"""Whether the system clock can be trusted to delete records by age.

A machine without a clock battery can boot years off. The clock is compared with the Date header of the nodes' replies,
the time of their newest block, and the records themselves. On regtest the node mines its own blocks, which would agree
with any clock, so only the tip at the start of the run counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from solominer.records.settings import DAY_SECS
from solominer.work.events import NodeHealth

CLOCK_TOLERANCE_SECS = 7200.0
"""Nodes reject blocks further in the future (time-too-new), so no tip can be further ahead of a correct clock."""

OLD_TIP_SECS = float(DAY_SECS)
"""Public networks find a block at least once a day."""

LONGEST_GAP_SECS = 31.0 * DAY_SECS
"""Records with gaps up to this long count as one continuous time line: a machine may be off for a month."""

_FRESH_SECS = 3600.0


class Belief(Enum):
    """Whether the nodes confirm the system clock."""

    CONTRADICTED = "contradicted"
    UNCONFIRMED = "unconfirmed"
    CONFIRMED = "confirmed"


@dataclass(slots=True)
class _Witness:
    """A node's last health check at `up` (monotonic): its Date header (None: not sent) and tip time (0: unknown)."""

    up: float
    date: float | None
    tip_time: int
    syncing: bool
    began_with_recent_tip: bool


class ClockCheck:
    """Compares the wall clock (`at`, Unix seconds) with the nodes'. `up` is in seconds of a monotonic clock."""

    def __init__(self, network: str) -> None:
        self._makes_its_own_tips = network == "regtest"
        self._nodes: dict[str, _Witness] = {}

    def look(self, at: float, up: float, health: NodeHealth) -> None:
        """Note a node's health check."""
        date = None if health.clock_offset_secs is None else at + health.clock_offset_secs
        if not health.reachable or (date is None and not health.tip_time):
            return
        before = self._nodes.get(health.node)
        recent = health.tip_time > 0 and at - health.tip_time <= OLD_TIP_SECS
        syncing = health.initial_download or health.headers > health.height + 2
        began = recent if before is None else before.began_with_recent_tip
        self._nodes[health.node] = _Witness(up, date, health.tip_time, syncing, began)

    def problem(self, at: float, up: float) -> str:
        """How a node contradicts the system clock, or ''."""
        for name, node in self._fresh(up):
            offset = 0.0 if node.date is None else node.date + up - node.up - at
            if abs(offset) > CLOCK_TOLERANCE_SECS:
                return f"the clock of node {name} is {_span(offset)} from this machine's"
            ahead = node.tip_time - at if node.tip_time else 0.0
            is_old = ahead < -OLD_TIP_SECS and not node.syncing and not self._makes_its_own_tips
            if ahead > CLOCK_TOLERANCE_SECS or is_old:
                return f"the newest block of node {name} is {_span(ahead)} from this machine's clock"
        return ""

    def belief(self, at: float, up: float) -> Belief:
        """CONTRADICTED by any node, else CONFIRMED by a node with a recent tip, else UNCONFIRMED."""
        if self.problem(at, up):
            return Belief.CONTRADICTED
        confirmed = any(self._confirms(node, at) for _, node in self._fresh(up))
        return Belief.CONFIRMED if confirmed else Belief.UNCONFIRMED

    def _confirms(self, node: _Witness, at: float) -> bool:
        if self._makes_its_own_tips:
            return node.date is not None and node.began_with_recent_tip
        return node.tip_time > 0 and at - node.tip_time <= OLD_TIP_SECS and not node.syncing

    def _fresh(self, up: float) -> list[tuple[str, _Witness]]:
        return [(name, node) for name, node in self._nodes.items() if up - node.up <= _FRESH_SECS]


def records_problem(newest_at: Any, at: float) -> str:
    """How the end time of the newest report (Unix seconds) contradicts the clock, or ''.

    A long downtime cannot be distinguished from a wrong clock.
    """
    if not isinstance(newest_at, int | float):
        return ""
    text = f"the newest report is {_span(newest_at - at)} from this machine's clock"
    if newest_at - at > CLOCK_TOLERANCE_SECS:
        return text
    return f"{text}: a long downtime, or a clock jump" if at - newest_at > LONGEST_GAP_SECS else ""


def _span(secs: float) -> str:
    """`+5.0 hours`, `-1825 days`."""
    return f"{secs / DAY_SECS:+.0f} days" if abs(secs) >= 2 * DAY_SECS else f"{secs / 3600:+.1f} hours"
