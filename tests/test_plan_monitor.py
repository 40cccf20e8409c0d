"""The plan monitor: claims lead back to the header, what leaves the plan is told once, and the tests of the
hashes get what they need: shares and counts of their own worker, targets that change, duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from solominer.chain.header import Header
from solominer.engines.cpu.diagnostics import LEAST_HASHES_PER_SHARE, PoolDiagnostics
from solominer.engines.cpu.plan_monitor import WINDOW_SECS, PlanMonitor
from solominer.engines.pool.job_slot import WORD_OF, WorkerState, plan_word
from solominer.engines.pool.snapshot import PoolSnapshot, PoolWorkerSnapshot
from solominer.engines.pool.walk import Walk
from solominer.insight.uniformity import TESTS
from solominer.plan.parse import parse_plan
from solominer.plan.plan import SearchPlan
from solominer.plan.proof import check_section
from solominer.work.actions import Severity, ShareSeen
from solominer.work.events import ShareFound
from solominer.work.found import FoundBlock, solve
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.workers import WorkerId
from tests.hashing.jobs import make_job

WORKERS = 2
TARGET = (1 << 226) - 1  # a share in 2**30 hashes
PER_SHARE = 2.0**30


class Bench:
    """A monitor, what it told, and the counts of its workers."""

    def __init__(self, plan: SearchPlan | None = None) -> None:
        self.plan = plan or parse_plan({"strides": {"main": {"order": "shuffled"}}})
        self.counts = [0, 0]
        self.alerts: list[tuple[str, str]] = []
        self.notes: list[Mapping[str, Any]] = []
        self.seen = self.snapshot()
        self.monitor = PlanMonitor(
            self.plan, WORKERS, lambda worker: self.counts[worker], lambda: self.seen, self.alert, self.note, 0.0
        )

    def alert(self, severity: Severity, code: str, message: str, todo: str) -> None:
        assert severity is Severity.HIGH
        assert todo
        self.alerts.append((code, message))

    def note(self, at: float, kind: str, fields: Mapping[str, Any]) -> None:
        assert kind == "diagnostics"
        self.notes.append(fields)

    def snapshot(self, **changes: Any) -> PoolSnapshot:
        """Both workers as they should be, worker 1 with `changes`."""
        counters: dict[str, Any] = dict.fromkeys(WORD_OF, 0) | {"pid": 1, "state": WorkerState.HASHING, "epoch": 1}
        counters["plan"] = plan_word(self.plan.hash_hex)
        base = PoolWorkerSnapshot(**counters, index=0, kernel="k", rate_hps=0.0, restarts=0)
        return PoolSnapshot((base, replace(base, index=1, **changes)), 1, 0, 2)

    def look(self, at: float, mono: float, **changes: Any) -> None:
        """A look at both workers, worker 1 with `changes`."""
        self.seen = self.snapshot(**changes)
        self.monitor.look(at, mono)


def share_of(job: Job, plan: SearchPlan, worker: int, slices: int = 5) -> ShareFound:
    """What a worker would hand in from some way along its own walk."""
    walk = Walk(plan, job.space, worker=worker, workers=WORKERS, midstates=4)
    for _ in range(slices):
        walk.advance(walk.next_slice(1 << 18)[1])
    ntime, extranonce2, versions = walk.group
    nonce = walk.next_slice(100)[0] + 7
    return ShareFound(
        Instant(1.0, 1.0),
        WorkerId("cpu", str(worker)),
        job.job_id,
        job.extranonce(searched=extranonce2),
        versions[2],
        ntime,
        nonce,
        0,
        "k",
        walk.position(2),
    )


def seen(job: Job, share: ShareFound) -> ShareSeen:
    return ShareSeen(share, job, bytes(32), False)


def block_of(job: Job, share: ShareFound) -> FoundBlock:
    header = job.header(share.extranonce, share.version, share.ntime, share.nonce)
    return solve(job, header, share.extranonce, found_at=1.0, worker=share.worker, kernel="k")


@pytest.mark.parametrize("worker", range(WORKERS))
def test_claims_lead_back_to_the_header(worker: int) -> None:
    bench, job = Bench(), make_job(roll_secs=0)
    share = share_of(job, bench.plan, worker)
    said = bench.monitor.share(seen(job, share))
    assert said is not None
    block = block_of(job, share)
    proof = bench.monitor.block(block, job)
    assert proof is not None
    header = Header.unpack(block.header)
    claim = check_section(proof, header, bytes.fromhex(block.coinbase_hex))
    assert claim is not None
    assert (claim.worker, claim.position.step, claim.position.version, claim.position.offset) == (worker, 5, 2, 7)
    assert check_section(said, header, None, bench.plan) == claim
    assert "facts" not in said
    assert bench.alerts == []


def test_other_engines_and_forgotten_jobs_make_no_claim() -> None:
    bench, job = Bench(), make_job()
    share = replace(share_of(job, bench.plan, 0), worker=WorkerId("stratum", "0"))
    assert bench.monitor.share(seen(job, share)) is None
    assert bench.monitor.block(block_of(job, share), job) is None
    assert bench.monitor.block(block_of(job, share_of(job, bench.plan, 0)), None) is None
    assert bench.alerts == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"worker": WorkerId("cpu", "1")}, "families: worker 1 used extranonce 0 of worker 0"),
        ({"version": 0x3FFFE000}, "palette: version bits 1fffe000 are never rolled"),
        ({"position": 1}, "strides: worker 0 reported a hit in chunk 1"),
    ],
)
def test_what_leaves_the_plan_is_told_once(change: dict[str, Any], said: str) -> None:
    bench, job = Bench(), make_job(roll_secs=0)
    share = replace(share_of(job, bench.plan, 0), **change)
    bench.monitor.share(seen(job, share))
    bench.monitor.share(seen(job, share))
    ((code, message),) = bench.alerts
    assert code == "plan-not-followed"
    assert said in message
    bench.monitor.close(1.0, 1.0)
    assert bench.notes[0]["off_plan"] == 2


def test_workers_on_another_plan_or_with_another_count_are_told() -> None:
    bench = Bench()
    bench.look(1.0, 1.0)
    bench.look(1.0, 1.0, plan=0)  # it has not begun
    bench.look(1.0, 1.0, plan=7, pid=0)  # it is gone
    assert bench.alerts == []
    for _ in range(2):
        bench.look(1.0, 1.0, plan=7, miscounts=1)
    assert [message for _, message in bench.alerts] == [
        "search plan, families: worker 1 follows another plan, 0000000000000007",
        "search plan, lanes: the hash count of 1 job(s) differs from what the plan requires",
    ]
    bench.monitor.close(1.0, 1.0)
    assert bench.notes[0]["miscounts"] == 1


def test_every_hour_is_closed_by_itself() -> None:
    bench = Bench()
    for mono in (1.0, WINDOW_SECS - 1, WINDOW_SECS, WINDOW_SECS + 1, 2 * WINDOW_SECS):
        bench.look(0.0, mono)
    assert [note["window_secs"] for note in bench.notes] == [WINDOW_SECS, WINDOW_SECS]
    assert bench.notes[0]["plan"] == bench.plan.hash_hex
    assert bench.notes[0]["workers"] == [], "no share could be tested"


def test_workers_are_read_one_a_second() -> None:
    bench = Bench()
    bench.monitor.published(replace(make_job(), share_target=TARGET))
    for second in range(3):
        assert bench.notes == []
        bench.look(0.0, WINDOW_SECS + second)
    assert [told["worker"] for told in bench.notes[0]["workers"]] == ["cpu/0", "cpu/1"]
    bench.look(0.0, 2 * WINDOW_SECS + 3)
    bench.monitor.close(0.0, 2 * WINDOW_SECS + 3.5)
    assert [told["worker"] for told in bench.notes[1]["workers"]] == ["cpu/0", "cpu/1"], "ended in between: both, once"


def hour(bench: Bench, rng: np.random.Generator, *, worker_missing: float = 1.0) -> dict[str, list[Any]]:
    """An hour of 1,000 shares to be expected of each worker; worker 1 finds only that share of its own. Its tests."""
    job = replace(make_job(), share_target=TARGET)
    bench.monitor.published(job)
    for worker in range(WORKERS):
        done = worker_missing if worker else 1.0
        count, start = rng.poisson(1000 * done), bench.counts[worker]
        for claimed in np.sort(rng.random(count)) * 1000 * PER_SHARE:
            bench.counts[worker] = start + int(claimed)
            value = int(float(rng.random()) * (TARGET >> 128)) << 128
            hash_le = rng.bytes(16) + value.to_bytes(32, "little")[16:]
            bench.monitor._diagnostics.share(worker, int(rng.integers(1 << 32)), hash_le, TARGET)
        bench.counts[worker] = start + int(1000 * PER_SHARE)
    bench.monitor.close(0.0, 0.0)
    assert [told["worker"] for told in bench.notes[-1]["workers"]] == ["cpu/0", "cpu/1"]
    return {
        told["worker"]: [test for test, facts in told["tests"].items() if facts[3]]
        for told in bench.notes[-1]["workers"]
    }


def test_honest_hours_are_silent_and_a_worker_that_counts_too_much_is_named() -> None:
    bench, rng = Bench(), np.random.default_rng(11)
    for _ in range(5):
        assert hour(bench, rng) == {"cpu/0": [], "cpu/1": []}
    assert bench.alerts == []
    assert list(bench.notes[0]["workers"][0]["tests"]) == list(TESTS)
    found = hour(bench, rng, worker_missing=0.75)
    assert found["cpu/0"] == []
    assert "share rate" in found["cpu/1"]
    assert all(message.startswith("worker 1: shares fail the ") for code, message in bench.alerts)
    assert {code for code, _ in bench.alerts} == {"odd-hashes"}


def test_a_repeated_share_is_an_alarm_whoever_notices_it() -> None:
    for elsewhere in (False, True):
        bench, job = Bench(), replace(make_job(), share_target=TARGET)
        bench.monitor.published(job)
        share = share_of(job, bench.plan, 0)
        bench.monitor.share(seen(job, share))
        if elsewhere:
            bench.monitor.repeated(WorkerId("cpu", "0"))
        else:
            bench.monitor.share(seen(job, share))
        bench.monitor.close(0.0, 0.0)
        assert [code for code, message in bench.alerts if "duplicates" in message] == ["odd-hashes"]


def test_shares_that_come_too_fast_are_not_tested_and_their_hashes_not_counted() -> None:
    counts = [0]
    diagnostics = PoolDiagnostics(1, 18, 1e-4, lambda worker: counts[0])
    easy = (1 << 256) // (LEAST_HASHES_PER_SHARE // 2)
    diagnostics.retarget(easy)
    diagnostics.share(0, 1, bytes(32), easy)
    diagnostics.repeated(0)
    assert list(diagnostics.close()) == []
    diagnostics.retarget(TARGET)
    counts[0] = int(2 * PER_SHARE)
    diagnostics.share(0, 1, bytes(32), TARGET)
    diagnostics.retarget(easy)
    counts[0] = int(5000 * PER_SHARE)
    diagnostics.retarget(TARGET)
    (findings,) = diagnostics.close()
    assert not [finding for finding in findings.findings if finding.alarm]
    assert findings.hashes == counts[0]
