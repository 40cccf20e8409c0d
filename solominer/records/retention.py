"""Keeping the disk from filling: which hours' ledger, errors and logs may go. Reports, proofs and submissions stay.

What is deleted is written into the report of the hour that deletes it, before it is deleted, so that the chain of
reports stays verifiable and says why files are missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from solominer.records.settings import DAY_SECS, RecorderSettings
from solominer.records.tree import Part, Tree, walk_files

RETIRABLE = ("errors", "ledger", "logs")
"""Sections that retention may delete."""


def plan_retirement(tree: Tree, settings: RecorderSettings, at: float, busy: set[Part]) -> list[dict[str, Any]]:
    """What should go now, oldest first: items of a report's `retired`. `busy` parts are still being written.

    By age; then, oldest first, until all retirable files together are within the quota and enough of the disk is free.
    """
    sizes = {part: size for part, size in _sizes(tree) if part not in busy}
    total = sum(sizes.values())
    lacking = max(0, settings.free_bytes - shutil.disk_usage(tree.root).free)
    plan = []
    for part in sorted(sizes):
        too_old = at - part.start > settings.keep_days * DAY_SECS
        if not too_old and total <= settings.quota_bytes and lacking <= 0:
            break
        total -= sizes[part]
        lacking -= sizes[part]
        why = "age" if too_old else "space"
        sections = [section for section in RETIRABLE if tree.folder(section, part).is_dir()]
        plan.append({"part": part.path, "sections": sections, "bytes": sizes[part], "why": why})
    return plan


def retire(tree: Tree, plan: list[dict[str, Any]]) -> None:
    """Delete what a sealed report says is retired; empty folders above go too. Raises OSError."""
    for item in plan:
        for section in item["sections"]:
            folder = tree.folder(section, Part.parse(item["part"]))
            shutil.rmtree(folder, ignore_errors=True)
            for above in list(folder.parents)[:3]:
                try:
                    above.rmdir()
                except OSError:
                    break  # not empty: other hours are there


def _sizes(tree: Tree) -> Iterator[tuple[Part, int]]:
    """Every part that has something retirable, with its bytes."""
    parts = {part for section in RETIRABLE for part in tree.parts(section)}
    for part in parts:
        files = [path for section in RETIRABLE for path in walk_files(tree.root, f"{section}/{part.path}")]
        size = 0
        for path in files:
            try:
                size += (tree.root / path).stat().st_size
            except OSError:
                continue  # gone meanwhile
        yield part, size
