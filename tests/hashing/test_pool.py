"""The pool with real processes on the fake kernel: the whole space is covered, jobs are followed, deaths of every kind
are survived and told in words, and nothing outlives its parent."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import psutil
import pytest

from solominer.daemon.host_metrics import now
from solominer.engines.cpu.choose import available_variants
from solominer.engines.pool import pool as pool_module
from solominer.engines.pool.job_slot import WorkerState
from solominer.engines.pool.pool import WORKER_MEMORY_BYTES, PoolSettings, WorkerPool
from solominer.engines.pool.snapshot import PoolSnapshot
from solominer.errors import EngineError, PlanError
from solominer.plan.plan import Families, SearchPlan
from solominer.work.events import Event, ShareFound, WorkerDied, WorkerStarted, WrongHit
from solominer.work.workers import ExtranonceRange, WorkerId
from tests.hashing.jobs import EASY_SHARE, SMALL_PLAN, all_points, all_shares, make_job

CACHE_DIR = Path(__file__).parents[2] / ".cache"
ENGINE = "tests.hashing.fake_engine"
NO_SHARES = 1 << 224
T = TypeVar("T", bound=Event)


class Running:
    """A started pool and what it says."""

    def __init__(self, settings: PoolSettings) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.lines: list[str] = []
        self.pool = WorkerPool(settings, now, self.lines.append)

    async def next(self, kind: type[T]) -> T:
        """The next event of that kind; others before it are skipped."""
        async with asyncio.timeout(120):  # against a hang; kernels may be compiled meanwhile, beside other tests
            while True:
                event = await self.events.get()
                if isinstance(event, kind):
                    return event

    async def until(self, holds: Callable[[PoolSnapshot], bool]) -> PoolSnapshot:
        """The first snapshot for which something holds; shared memory has no events to await."""
        async with asyncio.timeout(120):  # against a hang; kernels may be compiled meanwhile, beside other tests
            while not holds(snapshot := self.pool.pool_snapshot()):
                await asyncio.sleep(0.005)
            return snapshot


@asynccontextmanager
async def running(workers: int = 2, kernel: str | None = None, **more: object) -> AsyncIterator[Running]:
    """A pool on the fake engine, stopped at the end; no process of it is left then."""
    before = set(psutil.Process().children())  # other tests' own
    run = Running(PoolSettings(workers, kernel, engine=ENGINE, **more))  # type: ignore[arg-type]
    await run.pool.start(run.events.put_nowait, ExtranonceRange(0, 1))
    try:
        yield run
    finally:
        await run.pool.stop()
        assert not set(psutil.Process().children()) - before


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervision that looks often and waits for little."""
    monkeypatch.setattr(pool_module, "LOOK_SECS", 0.05)
    monkeypatch.setattr(pool_module, "MAX_BACKOFF_SECS", 0.05)


async def test_all_workers_together_find_every_share_of_a_small_space() -> None:
    async with running(3, plan=SMALL_PLAN) as run:
        job = make_job()
        run.pool.publish(job)
        state = await run.until(lambda now: all(w.state is WorkerState.EXHAUSTED for w in now.workers))
        owed = all_shares(job, SMALL_PLAN)
        found = [await run.next(ShareFound) for _ in owed]
        assert {(s.extranonce[-4:], s.version, s.ntime, s.nonce) for s in found} == owed
        assert state.hashes == len(all_points(job, SMALL_PLAN))
        assert all(int.from_bytes(s.extranonce[-4:], "big") % 3 == int(s.worker.name) for s in found)
        assert {(s.worker.engine, s.kernel, s.job_id, s.is_block) for s in found} == {("cpu", "fake", 1, False)}
        assert run.events.empty()

        run.pool.publish(make_job(2))  # an exhausted pool goes on with the next job
        assert (await run.next(ShareFound)).job_id == 2


async def test_workers_follow_jobs_and_stops() -> None:
    async with running() as run:
        for number in (1, 2, 3):
            run.pool.publish(make_job(number, share_target=NO_SHARES))
            epoch = run.pool.pool_snapshot().epoch
            now = await run.until(lambda now: all(w.epoch == now.epoch and w.started_ns for w in now.workers))
            assert now.epoch == epoch
            assert all(now.published_ns <= w.left_ns <= w.started_ns for w in now.workers)
        run.pool.stop_work()
        epoch = run.pool.pool_snapshot().epoch
        now = await run.until(lambda now: all(w.epoch == now.epoch for w in now.workers))
        assert now.epoch == epoch
        assert all(w.state is WorkerState.IDLE or not w.started_ns for w in now.workers)
        hashes = now.hashes
        run.pool.set_active(1)
        run.pool.publish(make_job(4, share_target=NO_SHARES))
        now = await run.until(lambda now: now.workers[1].state is WorkerState.PAUSED and now.workers[0].started_ns > 0)
        assert now.workers[1].started_ns == 0
        assert now.hashes >= hashes
        run.pool.set_active(2)
        await run.until(lambda now: now.workers[1].started_ns > 0)


async def test_a_block_is_found_once_per_worker_and_job() -> None:
    async with running(1) as run:
        easy = replace(make_job(), share_target=(1 << 256) - 1)
        easy = replace(easy, template=replace(easy.template, target=(1 << 256) - 1))
        run.pool.publish(easy)
        assert (await run.next(ShareFound)).is_block
        await run.until(lambda now: now.workers[0].state is WorkerState.PARKED)
        assert run.events.empty()


async def test_a_killed_worker_comes_back_and_its_counters_go_on(quick: None) -> None:
    async with running(1) as run:
        run.pool.publish(make_job(share_target=NO_SHARES))
        started = await run.next(WorkerStarted)
        before = await run.until(lambda now: now.hashes > 10_000)
        os.kill(started.pid, signal.SIGKILL)
        died = await run.next(WorkerDied)
        assert died.pid == started.pid
        assert died.reason == "killed by another process (SIGKILL)"
        assert died.restart_secs == 0.05
        gone = run.pool.pool_snapshot()
        assert not any(worker.alive for worker in gone.workers)
        assert gone.hashes >= before.hashes
        again = await run.next(WorkerStarted)
        assert again.pid != started.pid
        after = await run.until(lambda now: now.hashes > gone.hashes)
        assert after.workers[0].restarts == 1


async def test_a_restarted_worker_goes_on_where_the_dead_one_was(quick: None) -> None:
    plan = replace(SMALL_PLAN, nonce_space=1 << 14, lanes=replace(SMALL_PLAN.lanes, chunk_nonces=1 << 10))
    async with running(1, plan=plan) as run:
        job = make_job(share_target=NO_SHARES)
        run.pool.publish(job)
        started = await run.next(WorkerStarted)
        await run.until(lambda now: now.hashes > 50_000)
        os.kill(started.pid, signal.SIGKILL)
        done = await run.until(
            lambda now: (
                now.workers[0].state is WorkerState.EXHAUSTED and [w.alive for w in now.workers].count(True) == 1
            )
        )
        space = 8 * 4 * 2 * (1 << 14)
        assert space - 10_000 <= done.hashes <= space + 10_000  # but for the slice that the death cut short


async def test_a_hanging_worker_is_ended_and_restarted(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "HANG_SECS", 0.3)
    async with running(1, "fake-hang") as run:
        await run.next(WorkerStarted)
        run.pool.publish(make_job())
        assert (await run.next(WorkerDied)).reason.startswith("no heartbeat for")
        await run.next(WorkerStarted)


async def test_workers_that_are_stopped_while_they_start_are_replaced(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "HANG_SECS", 0.3)
    async with running(2) as run:
        first = {worker.pid for worker in run.pool.pool_snapshot().workers}
        for pid in first:
            os.kill(pid, signal.SIGSTOP)
        for _ in first:
            assert "stopped by a signal" in (await run.next(WorkerDied)).reason
        for _ in first:
            assert (await run.next(WorkerStarted)).pid not in first


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        ("fake-kill", "killed by another process (SIGKILL)"),
        ("fake-unknown", "exited with code 1: there is no such kernel -> choose another"),
        ("fake-raise", "exited with code 1: RuntimeError: the fake kernel was asked to raise"),
    ],
)
async def test_deaths_are_told_in_words_and_come_later_each_time(
    kernel: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MAX_BACKOFF_SECS", 1.0)
    monkeypatch.setattr(pool_module, "_FIRST_BACKOFF_SECS", 0.01)
    async with running(1, kernel) as run:
        run.pool.publish(make_job())
        deaths = [await run.next(WorkerDied) for _ in range(3)]
        assert [death.restart_secs for death in deaths] == [0.01, 0.02, 0.04]
        assert {death.reason for death in deaths} == {reason}


async def test_a_kernel_that_is_wrong_three_times_is_benched_and_replaced(quick: None, tmp_path: Path) -> None:
    async with running(2, "fake-wrong", cache_dir=tmp_path) as run:
        run.pool.publish(make_job(share_target=NO_SHARES))
        assert [(await run.next(WrongHit)).kernel for _ in range(3)] == ["fake-wrong"] * 3
        died = await run.next(WorkerDied)
        assert died.reason == "kernel fake-wrong reported wrong hits"
        now = await run.until(lambda now: all(w.kernel == "fake" for w in now.workers))
        assert now.workers[int(died.worker.name)].wrong_hits == 3
        assert all(w.wrong_hits in (0, 3) for w in now.workers)  # the other may not have begun in time to be wrong
        assert (tmp_path / "benched-fake-wrong").exists()


async def test_only_the_leader_compiles_first_and_says_so() -> None:
    async with running(3) as run:
        first = await run.next(WorkerStarted)
        assert first.worker == WorkerId("cpu", "0")
        assert run.lines[0] == "compiling the fake kernel"
        assert {(await run.next(WorkerStarted)).worker.name for _ in range(2)} == {"1", "2"}


async def test_memory_decides_how_many_workers_there_are(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "WORKER_MEMORY_BYTES", 1 << 20)
    async with running(4, max_memory_bytes=2 << 20) as run:
        assert len(run.pool.pool_snapshot().workers) == 2
        assert "allows only 2 of 4 workers" in run.lines[0]
        assert "more than its share of max_memory_gb" in (await run.next(WorkerDied)).reason


def test_a_memory_limit_admits_at_least_one_worker() -> None:
    assert PoolSettings(8, max_memory_bytes=1).admitted_workers == 1
    assert PoolSettings(8, max_memory_bytes=3 * WORKER_MEMORY_BYTES).admitted_workers == 3
    assert PoolSettings(8).admitted_workers == 8


async def test_a_pool_that_does_not_run_says_so() -> None:
    pool = WorkerPool(PoolSettings(1, engine=ENGINE), now)
    with pytest.raises(EngineError, match="is not running"):
        pool.pool_snapshot()
    await pool.stop()  # twice or never started: nothing to do


async def test_a_plan_too_small_for_the_workers_is_refused_at_start() -> None:
    settings = PoolSettings(3, engine=ENGINE, plan=SearchPlan(Families(extranonce_bits=1)))
    with pytest.raises(PlanError, match="families"):
        await WorkerPool(settings, now).start(lambda event: None, ExtranonceRange(0, 1))


async def test_a_failure_of_the_supervision_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(1) as run:
        watched = asyncio.create_task(run.pool.run())
        monkeypatch.setattr(WorkerPool, "_check_alive", lambda *_: 1 / 0)
        monkeypatch.setattr(pool_module, "LOOK_SECS", 0.01)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(watched, 30)


async def test_a_memory_that_cannot_be_read_is_no_failure(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without a free file descriptor."""
    looks = 0

    class NoDescriptor:
        def __init__(self, pid: int) -> None:
            nonlocal looks
            looks += 1
            raise OSError(errno.EMFILE, "Too many open files")

    async with running(1, max_memory_bytes=8 << 30) as run:
        monkeypatch.setattr(pool_module, "psutil", SimpleNamespace(Process=NoDescriptor, Error=psutil.Error))
        monkeypatch.setattr(pool_module, "LOOK_SECS", 0.01)
        watched = asyncio.create_task(run.pool.run())
        while looks < 2 and not watched.done():
            await asyncio.sleep(0.01)
        assert not watched.done()
        watched.cancel()


async def test_the_main_process_stays_free_of_numpy() -> None:
    code = "import sys, solominer.engines.pool.pool; sys.exit(bool({'numpy', 'numba', 'llvmlite'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PARENT = f"""
import asyncio
import errno
from solominer.engines.pool.pool import PoolSettings, WorkerPool
from solominer.daemon.host_metrics import now
from solominer.work.workers import ExtranonceRange
from tests.hashing.jobs import make_job
async def main():
    pool = WorkerPool(PoolSettings(2, engine={ENGINE!r}), now)
    await pool.start(lambda event: print(event.pid, flush=True), ExtranonceRange(0, 1))
    pool.publish(make_job(share_target={NO_SHARES}))
    await asyncio.sleep(3600)
asyncio.run(main())
"""


def test_workers_end_when_their_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert parent.stdout is not None
    workers = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE] == []


def test_workers_leave_the_decision_about_signals_to_their_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert parent.stdout is not None
    workers = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
    for worker in workers:
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGTERM)
    before = [sum(worker.cpu_times()[:2]) for worker in workers]
    while any(sum(worker.cpu_times()[:2]) <= spent for worker, spent in zip(workers, before, strict=True)):
        pass
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs(workers, timeout=20)


async def test_with_the_real_kernel() -> None:
    """Every share of a small space, from compiled kernels in two processes, within the memory that a worker has."""
    run = Running(PoolSettings(2, available_variants()[0].name, CACHE_DIR, plan=SMALL_PLAN))
    await run.pool.start(run.events.put_nowait, ExtranonceRange(0, 1))
    try:
        job = make_job(share_target=EASY_SHARE >> 3)
        run.pool.publish(job)
        owed = all_shares(job, SMALL_PLAN)
        found = [await run.next(ShareFound) for _ in owed]
        assert {(s.extranonce[-4:], s.version, s.ntime, s.nonce) for s in found} == owed
        now = await run.until(lambda now: all(w.state is WorkerState.EXHAUSTED for w in now.workers))
        assert now.hashes == len(all_points(job, SMALL_PLAN))
        assert all(psutil.Process(w.pid).memory_info().rss < WORKER_MEMORY_BYTES for w in now.workers)
    finally:
        await run.pool.stop()
