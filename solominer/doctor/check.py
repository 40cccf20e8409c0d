"""Checks and their results: ok, warning, failed or skipped, with the evidence and what to do next.

A check that requires a failed one is skipped, so that one fault is reported once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from solominer.errors import SolominerError, printable_lines


class Status(StrEnum):
    """Result of a check. `skipped` is not a failure."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """Reported result of one check. `subject` is the node's name, or ''; `secs` is the duration of the check."""

    check: str
    status: Status
    evidence: str
    todo: str = ""
    subject: str = ""
    secs: float = 0.0


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """Return value of a check's function."""

    status: Status
    evidence: str
    todo: str = ""


def ok(evidence: str) -> CheckOutcome:
    """No problem found."""
    return CheckOutcome(Status.OK, evidence)


def warning(evidence: str, todo: str) -> CheckOutcome:
    """Mining works, but the operator should act."""
    return CheckOutcome(Status.WARNING, evidence, todo)


def failed(evidence: str, todo: str) -> CheckOutcome:
    """Mining cannot work, or a found block could be lost."""
    return CheckOutcome(Status.FAILED, evidence, todo)


def skipped(evidence: str) -> CheckOutcome:
    """Not applicable here; the evidence says why."""
    return CheckOutcome(Status.SKIPPED, evidence)


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `needs` names earlier checks of the same subject that must not have failed.

    A SolominerError raised by `run` is reported as a failure.
    """

    name: str
    run: Callable[[], CheckOutcome]
    needs: tuple[str, ...] = ()


def run_checks(checks: Iterable[Check], subject: str = "") -> Iterator[Finding]:
    """Run the checks in order and yield each finding at once."""
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
    """Whether no check failed."""
    return all(finding.status is not Status.FAILED for finding in findings)


def first_failed(findings: Sequence[Finding]) -> Finding | None:
    """The first failure, or None."""
    return next((finding for finding in findings if finding.status is Status.FAILED), None)


def document(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings as JSON objects."""
    return [asdict(replace(finding, secs=round(finding.secs, 4))) for finding in findings]


def ms(secs: float) -> str:
    """A duration in milliseconds."""
    return f"{1000 * secs:.1f} ms"


def line(finding: Finding) -> str:
    """One finding as text: the result, and on a second line what to do."""
    name = f"{finding.subject}: {finding.check}" if finding.subject else finding.check
    text = f"{finding.status.value:8} {name:28} {finding.evidence}"
    return f"{text}\n{'':8}   -> {finding.todo}" if finding.todo else text
