"""What is open and where the chain of reports ends: `state.json`, a note to the next start.

It saves reading the whole tree. It is not evidence: if it is missing or wrong, the tree itself is looked through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from solominer.config.paths import open_regular
from solominer.errors import RecordsError
from solominer.records.files import read_bounded
from solominer.records.ledger.jsonlines import parse_object, read_lines
from solominer.records.ledger.ledger import is_frame, ledger_path
from solominer.records.report.versions import current_report
from solominer.records.tree import SECTIONS, Part, Tree, atomic_write

REPORT = "report.json"
SEAL = "report.json.sha256"
MANIFEST = "SHA256SUMS"
MOST_SEQUENCE = 2**53
"""A report's number stays below this; a larger one is not ours."""

_STATE = "state.json"
_SEQUENCE = re.compile(rb'\n  "part": "([0-9/.]+)",\n  "sequence": (\d{1,16}),\n')


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
    tree.clear_the_way(tree.root / _STATE)
    atomic_write(tree.root / _STATE, orjson.dumps(value, option=orjson.OPT_INDENT_2), durable=True)


def load_state(tree: Tree) -> State:
    """The state as last saved, or as the tree shows it where there is no such note, or an old one."""
    try:
        value = parse_object(read_bounded(tree.root / _STATE))
        if value is not None:
            state = _catch_up(tree, _decode(value))
            known = {*state.unsealed, *([] if state.head is None else [state.head.part])}
            sealed = 0 if state.head is None else state.head.sequence
            reports, ledgers = set(tree.parts("reports")), set(tree.parts("ledger"))
            if len(reports - known) < max(sealed, 1) and not ledgers - reports - known:  # else it was not saved lately
                return state
    except (OSError, LookupError, TypeError, ValueError, RecordsError):
        pass
    return scan_state(tree)


def _decode(value: dict[str, Any]) -> State:
    head = value["head"]
    if head is not None and not (_is_sequence(head["sequence"]) and re.fullmatch("[0-9a-f]{64}", head["sha256"])):
        raise ValueError("not a head")
    return State(
        tuple(Part.parse(path) for path in value["unsealed"]),
        None if head is None else Head(Part.parse(head["part"]), head["sequence"], head["sha256"]),
    )


def _is_sequence(value: object) -> bool:
    return type(value) is int and 0 < value < MOST_SEQUENCE


def _catch_up(tree: Tree, state: State) -> State:
    """Parts that were sealed after the note was made: a sealed part is never written again."""
    head, unsealed = state.head, []
    for part in state.unsealed:
        sealed_hash = read_seal(tree, part)
        if sealed_hash is None:
            unsealed.append(part)
            continue
        following = 1 if head is None else head.sequence + 1
        head = Head(part, sequence_of(tree, part) or following, sealed_hash)
    return State(tuple(unsealed), head)


def scan_state(tree: Tree) -> State:
    """Look the whole tree through: the highest number among sealed reports is the head, parts without seal are open.

    Folders without a ledger of ours are none of our parts.
    """
    head: Head | None = None
    sealed = set()
    for part in tree.parts("reports"):
        sealed_hash, sequence = read_seal(tree, part), sequence_of(tree, part)
        if sealed_hash is None or sequence is None:
            continue
        sealed.add(part)
        if head is None or sequence > head.sequence:
            head = Head(part, sequence, sealed_hash)
    parts = {part for section in SECTIONS for part in tree.parts(section)}
    return State(tuple(part for part in sorted(parts - sealed) if _has_records(tree, part)), head)


def _has_records(tree: Tree, part: Part) -> bool:
    """Whether a run of ours wrote into the part: its ledger begins with an entry."""
    try:
        lines = read_lines(ledger_path(tree, part))
        return any(line.value is not None and is_frame(line.value) for line in islice(lines, 100))
    except OSError:
        return False


def sequence_of(tree: Tree, part: Part) -> int | None:
    """The number of the part's report, by the first lines of it; None where there is no such report of ours."""
    try:
        with open_regular(tree.folder("reports", part) / REPORT) as file:
            match = _SEQUENCE.search(file.read(1024))
    except OSError:
        return None
    sequence = 0 if match is None or match[1].decode() != part.path else int(match[2])
    return sequence if _is_sequence(sequence) else None


def as_written(tree: Tree, parts: Iterable[Part]) -> list[Part]:
    """The parts in the order in which they were written, whatever the clock said: by their reports' numbers.

    Those without a report come last.
    """
    numbers = {part: sequence_of(tree, part) or MOST_SEQUENCE for part in parts}
    return sorted(numbers, key=lambda part: (numbers[part], part))


def read_seal(tree: Tree, part: Part) -> str | None:
    """The SHA-256 of the part's report as its seal has it; None if there is no well-formed seal."""
    try:
        first = read_bounded(tree.folder("reports", part) / SEAL).decode("ascii").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return None
    digest, _, name = first.partition("  ")
    return digest if name == REPORT and len(digest) == 64 else None


def read_report(tree: Tree, part: Part) -> dict[str, Any] | None:
    """The part's report with the names of the current schema, or None if it cannot be read."""
    try:
        report = parse_object(read_bounded(tree.folder("reports", part) / REPORT))
    except OSError:
        return None
    return None if report is None else current_report(report)
