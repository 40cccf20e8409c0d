"""What is open and where the chain of reports ends: `state.json`, a note to the next start.

It saves reading the whole tree. It is not evidence: if it is missing or wrong, the tree itself is looked through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from solominer.errors import RecordsError
from solominer.records.jsonlines import parse_object
from solominer.records.tree import SECTIONS, Part, Tree, atomic_write

REPORT = "report.json"
SEAL = "report.json.sha256"
MANIFEST = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest sealed report: where it is, its number, and the SHA-256 of its bytes in hex."""

    part: Part
    sequence: int
    sha256: str


@dataclass(frozen=True, slots=True)
class State:
    """`unsealed` parts in the order in which they were opened, and the end of the chain."""

    unsealed: tuple[Part, ...] = ()
    head: Head | None = None


def save_state(tree: Tree, state: State) -> None:
    """Write it. Raises OSError."""
    head = state.head
    value = {
        "schema": "solominer-state/1",
        "unsealed": [part.path for part in state.unsealed],
        "head": None if head is None else {"part": head.part.path, "sequence": head.sequence, "sha256": head.sha256},
    }
    atomic_write(tree.root / "state.json", orjson.dumps(value, option=orjson.OPT_INDENT_2), durable=True)


def load_state(tree: Tree) -> State:
    """The state as last saved, or as the tree shows it."""
    try:
        value = parse_object((tree.root / "state.json").read_bytes())
        if value is not None:
            return _catch_up(tree, _decode(value))
    except (OSError, KeyError, TypeError, RecordsError):
        pass
    return scan_state(tree)


def _decode(value: dict[str, Any]) -> State:
    head = value["head"]
    return State(
        tuple(Part.parse(path) for path in value["unsealed"]),
        None if head is None else Head(Part.parse(head["part"]), int(head["sequence"]), str(head["sha256"])),
    )


def _catch_up(tree: Tree, state: State) -> State:
    """Parts that were sealed after the note was made: a sealed part is never written again."""
    head, unsealed = state.head, []
    for part in state.unsealed:
        sealed_hash = read_seal(tree, part)
        if sealed_hash is None:
            unsealed.append(part)
            continue
        sequence = (read_report(tree, part) or {}).get("sequence")
        following = 1 if head is None else head.sequence + 1
        head = Head(part, sequence if isinstance(sequence, int) else following, sealed_hash)
    return State(tuple(unsealed), head)


def scan_state(tree: Tree) -> State:
    """Look the whole tree through: the highest number among sealed reports is the head, parts without seal are open."""
    head: Head | None = None
    sealed = set()
    for part in tree.parts("reports"):
        sealed_hash = read_seal(tree, part)
        report = read_report(tree, part)
        if sealed_hash is None or report is None:
            continue
        sealed.add(part)
        sequence = report.get("sequence")
        if isinstance(sequence, int) and (head is None or sequence > head.sequence):
            head = Head(part, sequence, sealed_hash)
    parts = {part for section in SECTIONS for part in tree.parts(section)}
    return State(tuple(sorted(parts - sealed)), head)


def read_seal(tree: Tree, part: Part) -> str | None:
    """The SHA-256 of the part's report as its seal has it; None if there is no well-formed seal."""
    try:
        first = (tree.folder("reports", part) / SEAL).read_text("ascii").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return None
    digest, _, name = first.partition("  ")
    return digest if name == REPORT and len(digest) == 64 else None


def read_report(tree: Tree, part: Part) -> dict[str, Any] | None:
    """The part's report, or None if it cannot be read."""
    try:
        return parse_object((tree.folder("reports", part) / REPORT).read_bytes())
    except OSError:
        return None
