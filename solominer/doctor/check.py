"""Checks and what they find: ok, a warning or failed, with the evidence and what to do. A check that rests on another
one that failed is skipped, so that one fault shows in one place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from solominer.errors import SolominerError, printable_lines


class Status(StrEnum):
    """How a check ended. `skipped` is no fault of its own."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `subject` is the node it is about, or ''; `secs` how long the check took."""

    check: str
    status: Status
    evidence: str
    todo: str = ""
    subject: str = ""
    secs: float = 0.0


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What a check's function gives back."""

    status: Status
    evidence: str
    todo: str = ""


def ok(evidence: str) -> CheckOutcome:
    """All is well."""
    return CheckOutcome(Status.OK, evidence)


def warning(evidence: str, todo: str) -> CheckOutcome:
    """Mining works, yet a person should know."""
    return CheckOutcome(Status.WARNING, evidence, todo)


def failed(evidence: str, todo: str) -> CheckOutcome:
    """Mining does not work like this, or a block could be lost."""
    return CheckOutcome(Status.FAILED, evidence, todo)


def skipped(evidence: str) -> CheckOutcome:
    """Not applicable here; the evidence says why."""
    return CheckOutcome(Status.SKIPPED, evidence)


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `needs` names earlier checks of the same subject without which it has no meaning.

    `run` may raise SolominerError, which is the finding then.
    """

    name: str
    run: Callable[[], CheckOutcome]
    needs: tuple[str, ...] = ()


def run_checks(checks: Iterable[Check], subject: str = "") -> Iterator[Finding]:
    """Run one after the other, giving each finding as soon as there is one."""
    lacking: set[str] = set()
    for check in checks:
        missing = [name for name in check.needs if name in lacking]
        started = time.perf_counter()
        outcome = skipped(f"requires {missing[0]!r}") if missing else _outcome_of(check)
        if missing or outcome.status is Status.FAILED:
            lacking.add(check.name)
        evidence, todo = printable_lines(outcome.evidence), printable_lines(outcome.todo)
        yield Finding(check.name, outcome.status, evidence, todo, subject, time.perf_counter() - started)


def _outcome_of(check: Check) -> CheckOutcome:
    try:
        return check.run()
    except SolominerError as error:
        return failed(error.what, error.todo)


def all_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.status is not Status.FAILED for finding in findings)


def first_failed(findings: Sequence[Finding]) -> Finding | None:
    """The finding to look at first, or None."""
    return next((finding for finding in findings if finding.status is Status.FAILED), None)


def document(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """For programs: a list of JSON objects."""
    return [asdict(replace(finding, secs=round(finding.secs, 4))) for finding in findings]


def line(finding: Finding) -> str:
    """One finding for people: a line, and a second one with what to do."""
    name = f"{finding.subject}: {finding.check}" if finding.subject else finding.check
    text = f"{finding.status.value:8} {name:28} {finding.evidence}"
    return f"{text}\n{'':8}   -> {finding.todo}" if finding.todo else text
