"""Creates search claims for shares and blocks; checks that workers follow the plan and that hashes are uniform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from solominer.chain.header import Header
from solominer.engines.cpu.diagnostics import PoolDiagnostics, WorkerFindings
from solominer.engines.pool.job_slot import plan_word
from solominer.engines.pool.snapshot import PoolSnapshot
from solominer.errors import PlanError
from solominer.plan.plan import ENGINE, Candidate, SearchPlan
from solominer.plan.proof import SearchClaim, plan_section
from solominer.work.actions import Severity, ShareSeen
from solominer.work.found import FoundBlock
from solominer.work.job import SEARCHED_SIZE, Job
from solominer.work.workers import WorkerId

WINDOW_SECS = 3600.0
ALARM_RATE = 1e-4

Alert = Callable[[Severity, str, str, str], None]
Note = Callable[[float, str, Mapping[str, Any]], None]

_OFF_PLAN_TODO = "stop the miner and report this with the log; blocks found meanwhile are valid"
_ODD_TODO = "see docs/odds-and-order.md for this test; if it happens again, test the memory and the CPU"


class PlanMonitor:
    """Monitors the CPU's workers under one plan. `alert` raises an alarm, `note` writes a line to the ledger.

    `count_of` returns a worker's hashes so far; `snapshot` the state of all workers; `mono` is monotonic time in s.
    """

    def __init__(
        self,
        plan: SearchPlan,
        workers: int,
        count_of: Callable[[int], int],
        snapshot: Callable[[], PoolSnapshot],
        alert: Alert,
        note: Note,
        mono: float,
    ) -> None:
        self.plan = plan
        self._workers = workers
        self._snapshot, self._alert, self._note = snapshot, alert, note
        self._word = plan_word(plan.hash_hex)
        self._diagnostics = PoolDiagnostics(workers, plan.lanes.chunk_nonces.bit_length() - 1, ALARM_RATE, count_of)
        self._closing: Iterator[WorkerFindings] | None = None
        self._results: list[WorkerFindings] = []
        self._began = mono
        self._alerted: set[tuple[str, int]] = set()
        self._claims = self._off_plan = self._miscounts = 0

    def published(self, job: Job) -> None:
        """The workers received this job."""
        self._diagnostics.retarget(job.share_target)

    def share(self, seen: ShareSeen) -> dict[str, Any] | None:
        """The search claim of a share, without the plan's facts; None if it is off the plan or of another engine."""
        share, job = seen.share, seen.job
        if share.worker.engine != ENGINE:
            return None
        self._diagnostics.share(
            int(share.worker.name), share.nonce, seen.hash_le, share.share_target or job.share_target
        )
        claim = self._claim(job, share.worker, share.extranonce, share.version, share.nonce)
        if claim is None:
            return None
        self._claims += 1
        self._check_position(claim, share.position)
        return plan_section(claim, job.space.version_mask, share.extranonce)

    def block(self, block: FoundBlock, job: Job | None) -> dict[str, Any] | None:
        """The search claim of a block with the plan's facts, for its proof; None as for `share`, or without its job."""
        if block.worker.engine != ENGINE or job is None:
            return None
        header = Header.unpack(block.header)
        claim = self._claim(job, block.worker, block.extranonce, header.version, header.nonce)
        return None if claim is None else plan_section(claim, job.space.version_mask, block.extranonce, self.plan)

    def repeated(self, worker: WorkerId) -> None:
        """A worker submitted a duplicate share."""
        if worker.engine == ENGINE:
            self._diagnostics.repeated(int(worker.name))

    def look(self, at: float, mono: float) -> None:
        """Call once a second: checks the workers' plan and hash counts, and closes the window of tests every hour."""
        snapshot = self._snapshot()
        for worker in snapshot.workers:
            if worker.alive and worker.plan and worker.plan != self._word:
                reason = f"worker {worker.index} follows another plan, {worker.plan:016x}"
                self._off(PlanError("families", reason), worker.index)
        miscounts = sum(worker.miscounts for worker in snapshot.workers)
        if miscounts > self._miscounts:
            self._miscounts = miscounts
            reason = f"the hash count of {miscounts} job(s) differs from what the plan requires"
            self._off(PlanError("lanes", reason), -1)
        if self._closing is None and mono - self._began >= WINDOW_SECS:
            self._closing = self._diagnostics.close()
        if self._closing is not None:
            result = next(self._closing, None)  # one worker a second: its tests take a millisecond
            if result is None:
                self.close(at, mono)
            else:
                self._results.append(result)

    def close(self, at: float, mono: float) -> None:
        """Close the window of tests, at the end of the hour or early: one ledger line, an alarm per failed test."""
        results = [*self._results, *(self._diagnostics.close() if self._closing is None else self._closing)]
        self._results, self._closing = [], None
        fields = {
            "plan": self.plan.hash_hex,
            "claims": self._claims,
            "off_plan": self._off_plan,
            "miscounts": self._miscounts,
            "window_secs": round(mono - self._began, 3),
            "workers": [_as_json(result) for result in results],
        }
        self._note(at, "diagnostics", fields)
        self._began, self._claims, self._off_plan = mono, 0, 0
        for result in results:
            for finding in result.findings:
                if finding.alarm:
                    text = f"worker {result.worker}: shares fail the {finding.test} test"
                    chance = f"p = {finding.p_value:.2g} per hour on a working machine"
                    self._alert(Severity.HIGH, "odd-hashes", f"{text} ({chance})", _ODD_TODO)

    def _claim(self, job: Job, worker: WorkerId, extranonce: bytes, version: int, nonce: int) -> SearchClaim | None:
        mask = job.space.version_mask
        candidate = Candidate(int.from_bytes(extranonce[-SEARCHED_SIZE:], "big"), version & mask, nonce)
        try:
            claim = SearchClaim.of(self.plan, candidate, mask, self._workers)
            if str(claim.worker) != worker.name:
                owner = f"extranonce {candidate.extranonce} of worker {claim.worker}"
                raise PlanError("families", f"worker {worker.name} used {owner}")
        except PlanError as error:
            self._off(error, int(worker.name))
            return None
        return claim

    def _check_position(self, claim: SearchClaim, reported: int | None) -> None:
        """Compare the chunk that the worker reported with the plan's."""
        planned = claim.position.version * self.plan.chunks + claim.position.step
        if reported is not None and reported != planned:
            reason = f"worker {claim.worker} reported a hit in chunk {reported}; by the plan it is in {planned}"
            self._off(PlanError("strides", reason), claim.worker)

    def _off(self, error: PlanError, worker: int) -> None:
        self._off_plan += 1
        if (error.group, worker) not in self._alerted:
            self._alerted.add((error.group, worker))
            self._alert(Severity.HIGH, "plan-not-followed", error.what, _OFF_PLAN_TODO)


def _as_json(result: WorkerFindings) -> dict[str, Any]:
    """A worker's findings in the ledger's format; for each test: samples, statistic, p-value, alarm."""
    tests = {
        finding.test: [finding.samples, round(finding.statistic, 4), float(f"{finding.p_value:.4g}"), finding.alarm]
        for finding in result.findings
    }
    return {"worker": f"{ENGINE}/{result.worker}", "hashes": result.hashes, "tests": tests}
