"""Keeping the disk from filling: which hours' ledger, errors and logs may go. Reports, proofs and submissions stay.

What is deleted is written into the report of the hour that deletes it, before it is deleted, so that the chain of
reports stays verifiable and says why files are missing.

The clock may be wrong, or may have been when a record was made. So hours are ordered by the numbers of their reports,
an hour is as old as the newest of those written before it says, and none goes for its age while a node contradicts the
clock, or while neither a node nor records without a long gap speak for it. Room on the disk needs no clock.
"""

from __future__ import annotations

import shutil
from typing import Any

from solominer.records.clock import LONGEST_GAP_SECS, Belief
from solominer.records.evidence.state import sequence_of
from solominer.records.files import optional
from solominer.records.settings import DAY_SECS, RecorderSettings
from solominer.records.tree import HOUR_SECS, Part, Tree, is_ours, walk_files

RETIRABLE = ("errors", "ledger", "logs")
"""Sections that retention may delete."""

_GENESIS_TIME = 1_231_006_505
"""Bitcoin's first block: a clock that says an earlier time was never set."""


class Retention:
    """Decides what goes. The tree is measured once; after that each sealed part is added as it comes."""

    def __init__(self, tree: Tree, settings: RecorderSettings) -> None:
        self._tree, self._settings = tree, settings
        self._sizes: dict[Part, int] | None = None
        self._order: dict[Part, int] = {}

    def sealed(self, part: Part) -> None:
        """This part is complete."""
        if self._sizes is not None:
            self._measure(part, self._sizes)

    def plan(self, at: float, busy: set[Part], belief: Belief = Belief.UNCONFIRMED) -> list[dict[str, Any]]:
        """What should go now, oldest first: items of a report's `retired`. `busy` parts are still being written.

        By age, if the clock may be believed; then, oldest first, until all retirable files together are within the
        quota and enough of the disk is free. `belief` is what nodes say of the clock.
        """
        if self._sizes is None:
            self._sizes = {}
            for part in {*self._tree.parts("reports")} - busy:
                self._measure(part, self._sizes)
        total = sum(self._sizes.values())
        lacking = self._lacking_bytes()
        first, end = self._may_go_by_age(at, belief)
        written_at = 0
        plan: list[dict[str, Any]] = []
        for part in sorted(self._sizes.keys() - busy, key=self._order.__getitem__):
            if part.start <= at:
                written_at = max(written_at, part.start)
            too_old = first <= written_at < end
            if not self._sizes[part] or not (too_old or total > self._settings.quota_bytes or lacking > 0):
                continue
            total -= self._sizes[part]
            lacking -= self._sizes[part]
            sections = [section for section in RETIRABLE if self._own_files(section, part)]
            why = "age" if too_old else "space"
            plan.append({"part": part.path, "sections": sections, "bytes": self._sizes[part], "why": why})
        return plan

    def carry_out(self, plan: list[dict[str, Any]]) -> None:
        """Delete what a sealed report says is retired."""
        retire(self._tree, plan)
        for item in plan:
            if self._sizes is not None:
                self._sizes[Part.parse(item["part"])] = 0

    def _may_go_by_age(self, at: float, belief: Belief) -> tuple[float, float]:
        """The first moment, and the one behind the last, that an hour may have been written at to go for its age."""
        end = at - self._settings.keep_days * DAY_SECS
        if belief is Belief.CONTRADICTED:
            return end, end
        first = float(_GENESIS_TIME)
        if belief is Belief.UNCONFIRMED:
            gap, first = max(HOUR_SECS, min(LONGEST_GAP_SECS, self._settings.keep_days * DAY_SECS / 2)), at
            for start in sorted((part.start for part in self._order if part.start <= at), reverse=True):
                if first - start > gap + HOUR_SECS:
                    break
                first = start
        return first, end

    def _lacking_bytes(self) -> int:
        free = self._settings.free_bytes
        with optional("the free space of the disk"):
            free = shutil.disk_usage(self._tree.root).free
        return max(0, self._settings.free_bytes - free)

    def _measure(self, part: Part, sizes: dict[Part, int]) -> None:
        """Take in a part that has a report; others are not ours to delete."""
        sequence = sequence_of(self._tree, part)
        if sequence is not None:
            self._order[part] = sequence
            sizes[part] = sum(self._size_of(path) for section in RETIRABLE for path in self._own_files(section, part))

    def _own_files(self, section: str, part: Part) -> list[str]:
        return [path for path in walk_files(self._tree.root, f"{section}/{part.path}") if is_ours(path)]

    def _size_of(self, path: str) -> int:
        try:
            return (self._tree.root / path).lstat().st_size
        except OSError:
            return 0  # gone meanwhile


def retire(tree: Tree, plan: list[dict[str, Any]]) -> None:
    """Delete what a sealed report says is retired, and folders that are empty then; files of others stay."""
    for item in plan:
        for section in item["sections"]:
            below = f"{section}/{Part.parse(item['part']).path}"
            with optional("deleting old records"):
                for path in list(walk_files(tree.root, below)):
                    if is_ours(path):
                        (tree.root / path).unlink(missing_ok=True)
            for folder in [tree.root / below, *list((tree.root / below).parents)[:3]]:
                try:
                    folder.rmdir()
                except OSError:
                    break  # not empty: other hours, or files of others, are there
