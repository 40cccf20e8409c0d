"""The chain of reports: its head, and how the next report is added. Used by one thread."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from solominer.errors import RecordsError
from solominer.records.clock import Belief
from solominer.records.evidence.seal import append_tail, seal_part
from solominer.records.evidence.signing import Signer
from solominer.records.evidence.state import MOST_SEQUENCE, REPORT, Head
from solominer.records.files import optional, read_bounded
from solominer.records.ledger.jsonlines import MALFORMED, parse_object
from solominer.records.ledger.retention import Retention
from solominer.records.report.hour import HourFold
from solominer.records.report.report import build_report
from solominer.records.report.rollup import day_of, write_day
from solominer.records.settings import RecorderSettings
from solominer.records.tree import Part, Tree


class ReportChain:
    """Seals parts in order; `head` is the newest report."""

    def __init__(self, tree: Tree, network: str, settings: RecorderSettings, signer: Signer | None) -> None:
        self._tree, self._network, self._signer = tree, network, signer
        self._retention = Retention(tree, settings)
        self._previous: Mapping[str, Any] | None = None
        self.head: Head | None = None
        self.last_seq = 0

    def go_on_from(self, head: Head | None) -> str:
        """Continue the chain after `head`. Returns what is wrong with its report, or ''.

        A modified report stays linked by its original hash, so that the modification remains detectable.
        """
        self.head = head
        if head is None:
            return ""
        path = self._tree.folder("reports", head.part) / REPORT
        self._tree.point_latest(head.part)  # a crash may have come between the seal and the link
        try:
            data = read_bounded(path)
        except OSError as error:
            return f"the newest report {path} cannot be read: {error.strerror}; totals restart from zero"
        self._previous = parse_object(data)
        ledger = (self._previous or {}).get("ledger")
        last_seq = ledger.get("last_seq") if isinstance(ledger, dict) else None
        self.last_seq = last_seq if type(last_seq) is int and 0 <= last_seq < MOST_SEQUENCE else 0
        if sha256(data).hexdigest() != head.sha256:
            return f"the newest report {path} was modified after it was written; run `solominer verify`"
        return ""

    @property
    def newest_at(self) -> Any:
        """The newest report's `to_at`, unvalidated; None if there is no report."""
        return (self._previous or {}).get("to_at")

    def seal(self, part: Part, fold: HourFold, why: str, busy: set[Part], at: float, belief: Belief) -> None:
        """Seal a complete part; for `at`, `busy` and `belief` see Retention.plan.

        Raises OSError, after which it may be called again, or RecordsError if no report can be built.
        """
        plan = self._retention.plan(part, at, busy, belief)
        also: list[str] = []
        if self.head is not None and day_of(self.head.part) != day_of(part):
            with optional("the file of a finished day"):
                also = write_day(self._tree, self._network, self.head.part)
        self.head, self._previous = self._sealed(part, fold, why, plan, also)
        self._retention.sealed(part)
        self._retention.carry_out(plan)
        append_tail(self._tree, self._previous)

    def _sealed(
        self, part: Part, fold: HourFold, why: str, retired: list[dict[str, Any]], also: list[str]
    ) -> tuple[Head, dict[str, Any]]:
        """The new head and its report; totals restart from zero if the previous report is unusable."""
        problem: Exception | None = None
        for previous in (self._previous, None):
            try:
                report = build_report(
                    fold,
                    network=self._network,
                    tree=self._tree.root.name,
                    part=part,
                    why=why,
                    head=self.head,
                    previous=previous,
                    retired=retired,
                )
                return seal_part(self._tree, part, report, self._signer, also), report
            except MALFORMED as error:
                problem = error
        raise RecordsError(f"no report can be built for the hour {part.path}: {problem!r:.200}") from problem
