"""Keeping the disk from filling: which hours' ledger, errors and logs may go. Reports, proofs and submissions stay.

What is deleted is written into the report of the hour that deletes it, before it is deleted, so that the chain of
reports stays verifiable and says why files are missing.
"""

from __future__ import annotations

import shutil
from typing import Any

from solominer.records.settings import DAY_SECS, RecorderSettings
from solominer.records.tree import Part, Tree, walk_files

RETIRABLE = ("errors", "ledger", "logs")
"""Sections that retention may delete."""


class Retention:
    """Decides what goes. The tree is measured once; after that each sealed part is added as it comes."""

    def __init__(self, tree: Tree, settings: RecorderSettings) -> None:
        self._tree, self._settings = tree, settings
        self._sizes: dict[Part, int] | None = None

    def sealed(self, part: Part) -> None:
        """This part is complete."""
        if self._sizes is not None:
            self._sizes[part] = self._size(part)

    def plan(self, at: float, busy: set[Part]) -> list[dict[str, Any]]:
        """What should go now, oldest first: items of a report's `retired`. `busy` parts are still being written.

        By age; then, oldest first, until all retirable files together are within the quota and enough of the disk is
        free.
        """
        if self._sizes is None:
            parts = {part for section in RETIRABLE for part in self._tree.parts(section)}
            self._sizes = {part: self._size(part) for part in parts - busy}
        total = sum(self._sizes.values())
        lacking = max(0, self._settings.free_bytes - shutil.disk_usage(self._tree.root).free)
        plan: list[dict[str, Any]] = []
        for part in sorted(self._sizes.keys() - busy):
            too_old = at - part.start > self._settings.keep_days * DAY_SECS
            if not too_old and total <= self._settings.quota_bytes and lacking <= 0:
                break
            total -= self._sizes[part]
            lacking -= self._sizes[part]
            sections = [section for section in RETIRABLE if self._tree.folder(section, part).is_dir()]
            why = "age" if too_old else "space"
            plan.append({"part": part.path, "sections": sections, "bytes": self._sizes[part], "why": why})
        return plan

    def carry_out(self, plan: list[dict[str, Any]]) -> None:
        """Delete what a sealed report says is retired."""
        retire(self._tree, plan)
        for item in plan:
            if self._sizes is not None:
                self._sizes.pop(Part.parse(item["part"]), None)

    def _size(self, part: Part) -> int:
        size = 0
        for section in RETIRABLE:
            for path in walk_files(self._tree.root, f"{section}/{part.path}"):
                try:
                    size += (self._tree.root / path).stat().st_size
                except OSError:
                    continue  # gone meanwhile
        return size


def retire(tree: Tree, plan: list[dict[str, Any]]) -> None:
    """Delete what a sealed report says is retired; empty folders above go too."""
    for item in plan:
        for section in item["sections"]:
            folder = tree.folder(section, Part.parse(item["part"]))
            shutil.rmtree(folder, ignore_errors=True)
            for above in list(folder.parents)[:3]:
                try:
                    above.rmdir()
                except OSError:
                    break  # not empty: other hours are there
