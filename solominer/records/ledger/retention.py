"""Deletes the ledger, errors and logs of old hours. Reports, proofs and submissions are kept.

Deletions are listed in the report of the current hour before they happen, so that the chain of reports stays
verifiable and explains the missing files.

The clock may be wrong, now or when a record was written. So hours are ordered by their reports' numbers, an hour
counts as no older than those before it, and nothing is deleted by age while a node contradicts the clock, or unless a
node or records without a long gap confirm it. Deleting for disk space needs no clock.
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

FRESH_SECS = 2 * HOUR_SECS
"""Hours that began so shortly before the one being sealed are kept even on a full disk.

Until then they are verified and read: shares of the last minutes after a restart, the page's last hour.
"""

_GENESIS_TIME = 1_231_006_505
"""The genesis block's time; a clock before it was never set."""


class Retention:
    """Decides what to delete. The tree is measured once; after that, sealed parts are added one by one."""

    def __init__(self, tree: Tree, settings: RecorderSettings) -> None:
        self._tree, self._settings = tree, settings
        self._is_measured = False
        self._sizes: dict[Part, int] = {}
        self._order: dict[Part, int] = {}

    def sealed(self, part: Part) -> None:
        """Add a sealed part."""
        if self._is_measured:
            self._measure(part)

    def plan(
        self, sealing: Part, at: float, busy: set[Part], belief: Belief = Belief.UNCONFIRMED
    ) -> list[dict[str, Any]]:
        """What to delete with the report of `sealing`, oldest first, as items of its `retired`.

        `busy` parts are still being written.

        Parts are deleted by age if the clock `at` can be trusted (see `belief`), then oldest first until the retirable
        files fit the quota and enough of the disk is free; those within FRESH_SECS never.
        """
        if not self._is_measured:
            self._is_measured = True
            for part in {*self._tree.parts("reports")} - busy:
                self._measure(part)
        total = sum(self._sizes.values())
        lacking = self._lacking_bytes()
        first, end = self._may_go_by_age(at, belief)
        written_at = 0
        plan: list[dict[str, Any]] = []
        for part in sorted(self._sizes.keys() - busy, key=self._order.__getitem__):
            if part.start <= at:
                written_at = max(written_at, part.start)
            too_old = first <= written_at < end
            fresh = abs(sealing.start - part.start) <= FRESH_SECS
            if fresh or not self._sizes[part] or not (too_old or total > self._settings.quota_bytes or lacking > 0):
                continue
            total -= self._sizes[part]
            lacking -= self._sizes[part]
            sections = [section for section in RETIRABLE if self._own_files(section, part)]
            why = "age" if too_old else "space"
            plan.append({"part": part.path, "sections": sections, "bytes": self._sizes[part], "why": why})
        return plan

    def carry_out(self, plan: list[dict[str, Any]]) -> None:
        """Delete the files of a plan that is listed in a sealed report."""
        retire(self._tree, plan)
        self._sizes |= {Part.parse(item["part"]): 0 for item in plan}

    def _may_go_by_age(self, at: float, belief: Belief) -> tuple[float, float]:
        """The range of times (first, end) in which an hour must have been written to be deleted by age."""
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
        with optional("reading the free disk space"):
            free = shutil.disk_usage(self._tree.root).free
        return max(0, self._settings.free_bytes - free)

    def _measure(self, part: Part) -> None:
        """Add the size of a part; one without a report is not ours to delete."""
        sequence = sequence_of(self._tree, part)
        if sequence is not None:
            self._order[part] = sequence
            self._sizes[part] = sum(
                self._size_of(path) for section in RETIRABLE for path in self._own_files(section, part)
            )

    def _own_files(self, section: str, part: Part) -> list[str]:
        return [path for path in walk_files(self._tree.root, f"{section}/{part.path}") if is_ours(path)]

    def _size_of(self, path: str) -> int:
        try:
            return (self._tree.root / path).lstat().st_size
        except OSError:
            return 0  # deleted meanwhile


def retire(tree: Tree, plan: list[dict[str, Any]]) -> None:
    """Delete our files in the sections of a plan's items, and the folders that become empty."""
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
                    break  # not empty: other hours or foreign files
