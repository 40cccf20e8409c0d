"""The life of our blocks from the journal, newest first: what was found, each answer, each state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solominer.records.files import is_folder
from solominer.records.journal.recovery import FOLDER_NAME
from solominer.records.ledger.jsonlines import read_lines, read_object
from solominer.records.tree import Part, Tree


@dataclass(frozen=True, slots=True)
class BlockLife:
    """One block. `hash_hex` in RPC byte order; `facts` as `journal.facts_of` writes them, empty if they are damaged.

    `answers` and `states` are the lines of submissions.jsonl and states.jsonl, oldest first.
    """

    height: int
    hash_hex: str
    facts: dict[str, Any]
    answers: list[dict[str, Any]]
    states: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """Where the journal has a block: its hours, oldest first."""

    height: int
    hash_hex: str
    parts: tuple[Part, ...]


def block_places(tree: Tree) -> list[BlockPlace]:
    """All blocks of the journal, the newest first. Raises OSError."""
    found: dict[tuple[int, str], list[Part]] = {}
    for part in tree.parts("submissions"):
        for name in sorted(_names(tree.folder("submissions", part))):
            found.setdefault(name, []).append(part)
    places = [BlockPlace(height, hash_hex, tuple(parts)) for (height, hash_hex), parts in found.items()]
    return sorted(places, key=lambda place: (place.parts[0], place.height), reverse=True)


def block_life(tree: Tree, place: BlockPlace) -> BlockLife:
    """What the journal says about a block; torn lines are skipped. Raises OSError."""
    folders = [tree.folder("submissions", part) / f"{place.height}-{place.hash_hex}" for part in place.parts]
    facts = next((facts for folder in folders if (facts := read_object(folder / "facts.json"))), {})
    if facts.get("hash") != place.hash_hex:
        facts = {}
    answers, states = (
        [line.value for folder in folders for line in read_lines(folder / name) if line.value is not None]
        for name in ("submissions.jsonl", "states.jsonl")
    )
    return BlockLife(place.height, place.hash_hex, facts, answers, states)


def _names(folder: Path) -> Iterator[tuple[int, str]]:
    for path in folder.iterdir():
        match = FOLDER_NAME.fullmatch(path.name)
        if match is not None and is_folder(path):
            yield int(match[1]), match[2]
