"""`state.json`: the unsealed parts and the head of the chain of reports, for the next start; and reading reports.

It avoids a scan of the whole tree. It is not evidence: if it is missing or wrong, the tree is scanned.

Files of a sealed hour are never rewritten, so a tree may have reports of several schema versions; their fields are
renamed to the current schema when read. `solominer-report/2` renamed the fields in `_RENAMED_IN_2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from solominer.config.paths import open_regular
from solominer.errors import RecordsError
from solominer.records.files import read_bounded
from solominer.records.ledger.jsonlines import read_lines, read_object
from solominer.records.ledger.ledger import is_frame, ledger_path
from solominer.records.tree import SECTIONS, Part, Tree

REPORT = "report.json"
SEAL = "report.json.sha256"
MANIFEST = "SHA256SUMS"
STATE = "state.json"
REPORT_SCHEMA = "solominer-report/2"
READABLE = ("solominer-report/1", REPORT_SCHEMA)
MOST_SEQUENCE = 2**53
"""Upper bound of report numbers; larger ones are invalid."""

_SEQUENCE = re.compile(rb'\n  "part": "([0-9/.]+)",\n  "sequence": (\d{1,16}),\n')
_RENAMED_IN_2 = {
    "shares": {"all_told": "complete"},
    "ledger": {"odd_lines": "unparsed_lines"},
    "search": {"least_p": "min_p_value"},
    "nodes": {"looks": "samples", "unusable_looks": "unusable_samples"},
}


@dataclass(frozen=True, slots=True)
class Head:
    """The newest sealed report: its part, number, and SHA-256 in hex."""

    part: Part
    sequence: int
    sha256: str


@dataclass(frozen=True, slots=True)
class State:
    """`unsealed` parts in the order in which they were opened, and the head of the chain."""

    unsealed: tuple[Part, ...] = ()
    head: Head | None = None


def save_state(tree: Tree, state: State) -> None:
    """Write state.json, fsynced. Raises OSError."""
    head = state.head
    value = {
        "schema": "solominer-state/1",
        "unsealed": [part.path for part in state.unsealed],
        "head": None if head is None else {"part": head.part.path, "sequence": head.sequence, "sha256": head.sha256},
    }
    tree.write(STATE, orjson.dumps(value, option=orjson.OPT_INDENT_2), durable=True)


def saved_state(tree: Tree) -> State | None:
    """state.json as it was written, at no cost: its oldest parts may be sealed by now. None if it cannot be read."""
    value = read_object(tree.root / STATE)
    try:
        return None if value is None else _decode(value)
    except (LookupError, TypeError, ValueError, RecordsError):
        return None


def load_state(tree: Tree) -> State:
    """The state from state.json, or from a scan of the tree if that file is missing, invalid or outdated."""
    saved = saved_state(tree)
    if saved is not None:
        state = _catch_up(tree, saved)
        known = {*state.unsealed, *([] if state.head is None else [state.head.part])}
        sealed = 0 if state.head is None else state.head.sequence
        reports, ledgers = set(tree.parts("reports")), set(tree.parts("ledger"))
        if len(reports - known) < max(sealed, 1) and not ledgers - reports - known:  # else it is outdated
            return state
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
    """Add parts that were sealed after state.json was written."""
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
    """Scan the tree: the highest-numbered sealed report is the head; parts with a ledger but no seal are open."""
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
    """Whether solominer wrote into the part: its ledger begins with a valid entry."""
    try:
        lines = read_lines(ledger_path(tree, part))
        return any(line.value is not None and is_frame(line.value) for line in islice(lines, 100))
    except OSError:
        return False


def sequence_of(tree: Tree, part: Part) -> int | None:
    """The number of the part's report, from its first 1024 bytes; None if there is no valid one."""
    try:
        with open_regular(tree.folder("reports", part) / REPORT) as file:
            match = _SEQUENCE.search(file.read(1024))
    except OSError:
        return None
    sequence = 0 if match is None or match[1].decode() != part.path else int(match[2])
    return sequence if _is_sequence(sequence) else None


def as_written(tree: Tree, parts: Iterable[Part]) -> list[Part]:
    """The parts in the order in which they were written, by their reports' numbers; parts without a report last."""
    numbers = {part: sequence_of(tree, part) or MOST_SEQUENCE for part in parts}
    return sorted(numbers, key=lambda part: (numbers[part], part))


def read_seal(tree: Tree, part: Part) -> str | None:
    """The report's SHA-256 in hex, from the part's seal; None if there is no well-formed seal."""
    try:
        first = read_bounded(tree.folder("reports", part) / SEAL).decode("ascii").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return None
    digest, _, name = first.partition("  ")
    return digest if name == REPORT and len(digest) == 64 else None


def read_report(tree: Tree, part: Part) -> dict[str, Any] | None:
    """The part's report with the field names of the current schema, or None if it cannot be read."""
    report = read_object(tree.folder("reports", part) / REPORT)
    return None if report is None else current_report(report)


def current_report(report: dict[str, Any]) -> dict[str, Any]:
    """A report with the field names of REPORT_SCHEMA. One of an unknown version is returned unchanged."""
    if report.get("schema") != "solominer-report/1":
        return report
    return {**report, "schema": REPORT_SCHEMA, **dict(_renamed(report))}


def _renamed(report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, names in _RENAMED_IN_2.items():
        value = report.get(section)
        if isinstance(value, dict):
            yield section, _with_names(value, names)
        elif isinstance(value, list):
            yield section, [_with_names(item, names) if isinstance(item, dict) else item for item in value]


def _with_names(value: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): item for name, item in value.items()}
