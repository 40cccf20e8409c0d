"""The pool of worker processes: starts and supervises them, publishes jobs to them, turns their messages into events.

It runs in the main process's event loop, without threads, NumPy or Numba. Jobs are published through shared memory,
which takes microseconds however many workers there are. A worker that dies or hangs is restarted with growing delays;
its counters continue.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from solominer.engines.pool.job_slot import WORD_OF, SharedBlock, WorkerCounters, WorkerState
from solominer.engines.pool.messages import Hit, Message, Ready, Report, Share, Wrong
from solominer.engines.pool.snapshot import RATE_SECS, PoolSnapshot, PoolWorkerSnapshot, worker_snapshot
from solominer.engines.pool.startup import EXIT_OFF, EXIT_WRONG_HITS, DeviceSetup, WorkerSetup
from solominer.engines.pool.worker_job import WorkerJob
from solominer.engines.pool.worker_process import WorkerProcess
from solominer.errors import EngineError
from solominer.plan.plan import ENGINE, SearchPlan
from solominer.work.events import ShareFound, WorkerDied, WorkerStarted, WrongHit
from solominer.work.instant import Clock, Instant
from solominer.work.job import Job
from solominer.work.ports import Post
from solominer.work.workers import EXTRANONCE1_SIZE, EngineSnapshot, ExtranonceRange, WorkerId

WORKER_MEMORY_BYTES = 200 << 20
"""The memory budget of a worker: a memory limit admits one worker per this many bytes."""

LOOK_SECS = 1.0
HANG_SECS = 5.0
_FIRST_BACKOFF_SECS = 1.0
START_SECS = 300.0
HEALTHY_SECS = 60.0
MAX_BACKOFF_SECS = 60.0
_MEMORY_LOOKS = 5
_STOP_LOOK_SECS = 0.005

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """A pool's settings.

    `kernel` is the name of a variant (None: the fastest). `cache_dir` holds compiled kernels. `max_memory_bytes` limits
    all workers together: fewer are started, and one that exceeds its part is restarted. `engine` is the module that
    provides the kernel, `process` the module of a worker process. `name` is the first half of the workers' ids.

    With `devices`, one for each worker, each worker chooses its own kernel, and its id has the device's number.
    """

    workers: int
    kernel: str | None = None
    cache_dir: Path | None = None
    nice: int = 0
    max_memory_bytes: int | None = None
    plan: SearchPlan = field(default_factory=SearchPlan)
    engine: str = "solominer.engines.cpu.kernel"
    process: str = "solominer.engines.cpu"
    name: str = ENGINE
    devices: tuple[DeviceSetup, ...] = ()

    @property
    def admitted_workers(self) -> int:
        """How many workers the memory limit admits, at least one if any are wanted."""
        if self.max_memory_bytes is None or not self.workers:
            return self.workers
        return max(1, min(self.workers, self.max_memory_bytes // WORKER_MEMORY_BYTES))


class _Seat:
    """One worker's place in the pool, which outlives its processes."""

    def __init__(self, index: int, worker: WorkerId, device: DeviceSetup | None, kernel: str | None) -> None:
        self.index = index
        self.worker = worker
        self.device = device
        self.kernel = kernel
        self.process: WorkerProcess | None = None
        self.starting: asyncio.TimerHandle | None = None
        self.failures = 0
        self.restarts = 0
        self.hashes_seen: deque[tuple[float, int]] = deque(maxlen=round(RATE_SECS / LOOK_SECS) + 1)
        self.heartbeat_ns = 0
        self.silent_looks = 0

    def rate_hps(self, now_secs: float, hashes: int) -> float:
        """Hash rate in H/s since the oldest sample kept."""
        if not self.hashes_seen:
            return 0.0
        then, before = self.hashes_seen[0]
        return (hashes - before) / (now_secs - then) if now_secs > then else 0.0


class WorkerPool:
    """An engine of worker processes (`work.ports.Engine`). It posts ShareFound, WrongHit, WorkerStarted, WorkerDied.

    `report` receives progress messages.
    """

    def __init__(self, settings: PoolSettings, clock: Clock, report: Callable[[str], None] = log.info) -> None:
        self.name = settings.name
        self.settings = settings
        self._post: Post = lambda event: None
        self._clock = clock
        self._report = report
        self._shared: SharedBlock | None = None
        self._seats: list[_Seat] = []
        self._leader = 0
        self._stopping = False
        self._looking: asyncio.Task[None] | None = None
        self._hashes_at_end: list[int] = []
        self._extranonce1 = bytes(EXTRANONCE1_SIZE)
        self._wanted = settings.admitted_workers
        self._limit = settings.workers
        self._may_hash = math.inf

    # Life

    async def start(self, post: Post, space: ExtranonceRange) -> None:
        """Start the workers and return at once; WorkerStarted is posted when each begins to hash.

        Raises PlanError if the plan leaves a worker without extranonces.
        """
        self._post, self._extranonce1 = post, space.nth(0)
        count = self.settings.admitted_workers
        if count < self.settings.workers:
            self._report(f"max_memory_gb allows only {count} of {self.settings.workers} workers: raise it for more")
        if count:
            self.settings.plan.extranonce(count - 1, count, 0)
        self._shared = SharedBlock.create(count)
        self._seats = [self._new_seat(index) for index in range(count)]
        self._stopping = False
        self._looking = asyncio.create_task(self._look_after(), name=f"{self.name} worker pool")
        for seat in self._seats:
            self._start_process(seat)

    async def stop(self, timeout_secs: float = 5.0) -> None:
        """Let every worker finish its slice and exit; kill it after `timeout_secs`, or at once if still starting."""
        if self._shared is None:
            return
        self._stopping = True
        self._shared.quit()
        for seat in self._seats:
            if seat.starting is not None:
                seat.starting.cancel()
            if seat.process is not None and seat.process.ready_secs is None:
                seat.process.kill("no longer needed")
        self._ring()
        deadline = time.monotonic() + timeout_secs
        while processes := [seat.process for seat in self._seats if seat.process is not None]:
            if time.monotonic() > deadline:
                for process in processes:
                    process.kill("did not exit in time")
            await asyncio.sleep(_STOP_LOOK_SECS)
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        self._hashes_at_end = [self._shared.read_counters(seat.index).hashes for seat in self._seats]
        self._shared.close()
        self._shared = None

    async def run(self) -> None:
        """Wait until the pool is stopped; raises the exception if its supervision failed."""
        if self._looking is not None:
            await asyncio.wait([self._looking])
            if not self._looking.cancelled():
                self._looking.result()

    # Work

    def publish(self, job: Job, *, clean: bool = True) -> None:
        """Replace all workers' job with this one. Raises EngineError if it is too large.

        A signed job has a single extranonce, which belongs to the first worker of one engine: the others wait.
        """
        signed = job.signed_extranonce
        self._may_hash = math.inf if signed is None else int(signed.startswith(self._extranonce1))
        self.search(WorkerJob.of(job, self._extranonce1))

    def search(self, job: WorkerJob) -> None:
        """As `publish`, for a job that was made elsewhere."""
        self._memory.active = self._active
        self._memory.publish(job.pack(), time.monotonic_ns())
        self._ring()

    def stop_work(self) -> None:
        """Withdraw the job from all workers."""
        self._memory.withdraw(time.monotonic_ns())

    def block_saved(self, hash_le: bytes) -> None:
        """Does nothing: no worker waits for it."""

    def share_judged(self, share: ShareFound) -> None:
        """Does nothing: no worker waits for it."""

    def set_intensity(self, share: float) -> None:
        """Let this fraction of the workers hash, at least one unless it is 0; the others pause.

        Devices are busy for this fraction of the time instead.
        """
        if self.settings.devices:
            self._memory.duty = max(0.0, min(share, 1.0))
            self._ring()
            return
        self.set_active(math.ceil(round(max(0.0, min(share, 1.0)) * len(self._seats), 9)))

    def set_active(self, count: int) -> None:
        """Let only the first `count` workers hash."""
        self._wanted = max(0, min(count, len(self._seats)))
        self._memory.active = self._active
        self._ring()

    def apply(self, settings: PoolSettings) -> list[str]:
        """Apply new limits while running: workers, memory, `nice`. Returns a message for each that needs a restart."""
        problems = []
        if settings.workers > len(self._seats):
            problems.append(f"more than {len(self._seats)} workers need a restart")
        if settings.nice != self.settings.nice:
            problems += self._renice(settings.nice)
        self._limit = settings.workers
        self.settings = replace(self.settings, nice=settings.nice, max_memory_bytes=settings.max_memory_bytes)
        self.set_active(self._wanted)
        return problems

    def _renice(self, nice: int) -> list[str]:
        for process in filter(None, (seat.process for seat in self._seats)):
            try:
                psutil.Process(process.pid).nice(nice)
            except psutil.AccessDenied:
                return [f"no permission to lower nice to {nice} for running workers; restart to apply it"]
            except (psutil.NoSuchProcess, OSError):
                continue
        return []

    @property
    def _active(self) -> int:
        return int(min(self._wanted, self._limit, self._may_hash))

    def hashes_of(self, worker: int) -> int:
        """Hashes of one worker since the start; also available after `stop`."""
        return self._hashes_at_end[worker] if self._shared is None else self._memory.read_counters(worker).hashes

    def snapshot(self) -> EngineSnapshot:
        """The workers' state, in the engine-independent form."""
        pool = self.pool_snapshot()
        workers = (worker_snapshot(seat.worker, seen) for seat, seen in zip(self._seats, pool.workers, strict=True))
        return EngineSnapshot(self.name, tuple(workers), pool.active)

    def pool_snapshot(self) -> PoolSnapshot:
        """The workers' state in full."""
        memory = self._memory
        now = time.monotonic()
        workers = tuple(self._snapshot(seat, memory.read_counters(seat.index), now) for seat in self._seats)
        return PoolSnapshot(workers, memory.epoch, memory.published_ns, memory.active)

    @property
    def _memory(self) -> SharedBlock:
        if self._shared is None:
            raise EngineError("the worker pool is not running", "start it first")
        return self._shared

    def _ring(self) -> None:
        for seat in self._seats:
            if seat.process is not None:
                seat.process.ring()

    @staticmethod
    def _snapshot(seat: _Seat, counters: WorkerCounters, now_secs: float) -> PoolWorkerSnapshot:
        process = seat.process
        known: dict[str, Any] = {name: getattr(counters, name) for name in WORD_OF}
        known["pid"] = process.pid if process else 0
        known["state"] = WorkerState(counters.state) if process else WorkerState.STARTING
        return PoolWorkerSnapshot(
            **known,
            index=seat.index,
            kernel=process.kernel if process else "",
            rate_hps=seat.rate_hps(now_secs, counters.hashes),
            restarts=seat.restarts,
        )

    def _share_found(self, now: Instant, process: WorkerProcess, hit: Hit, is_block: bool) -> ShareFound:
        return ShareFound(
            at=now,
            worker=self._seats[process.index].worker,
            job_id=hit.job_id,
            extranonce=hit.extranonce,
            version=hit.version,
            ntime=hit.ntime,
            nonce=hit.nonce,
            kernel=process.kernel,
            position=hit.position,
            is_block=is_block,
        )

    # Worker processes

    def _new_seat(self, index: int) -> _Seat:
        device = self.settings.devices[index] if self.settings.devices else None
        name = str(index if device is None else device.index)
        return _Seat(index, WorkerId(self.name, name), device, self.settings.kernel)

    def _start_process(self, seat: _Seat) -> None:
        settings, memory = self.settings, self._memory
        seat.starting = None
        seat.heartbeat_ns = seat.silent_looks = 0
        setup = WorkerSetup(
            index=seat.index,
            workers=len(self._seats),
            parent_pid=os.getpid(),
            shared_fd=memory.fd,
            messages_fd=-1,
            engine=settings.engine,
            kernel=seat.kernel,
            leads=seat.device is not None or (seat.index == self._leader and not memory.kernel),
            cache_dir=settings.cache_dir,
            nice=settings.nice,
            plan=settings.plan,
            device=seat.device,
        )
        try:
            seat.process = WorkerProcess(settings.process, setup, self._heard, self._ended)
        except OSError as error:
            self._bring_back(seat, f"could not be started: {error}", pid=0)

    def _heard(self, process: WorkerProcess, message: Message) -> None:
        now, worker = self._clock(), self._seats[process.index].worker
        match message:
            case Ready(kernel):
                process.kernel = kernel
                process.ready_secs = time.monotonic()
                self._post(WorkerStarted(now, worker, process.pid, kernel))
            case Report(text):
                self._report(text)
            case Share(hit, is_block):
                self._post(self._share_found(now, process, hit, is_block))
            case Wrong():
                count = self._memory.read_counters(process.index).wrong_hits
                self._post(WrongHit(now, worker, process.kernel, count))

    def _ended(self, process: WorkerProcess) -> None:
        seat = self._seats[process.index]
        seat.process = None
        if self._stopping:
            return
        if process.ready_secs is not None and time.monotonic() - process.ready_secs >= HEALTHY_SECS:
            seat.failures = 0
        if process.exit_code == EXIT_WRONG_HITS:
            self._choose_again(seat, process.kernel)
        if process.exit_code == EXIT_OFF:
            self._post(WorkerDied(self._clock(), seat.worker, process.pid, process.end_reason, None))
        else:
            self._bring_back(seat, process.end_reason, process.pid)

    def _choose_again(self, seat: _Seat, kernel: str) -> None:
        """Let this worker choose another kernel: for its device, or else for all workers started from now on."""
        memory = self._memory
        if seat.device is not None:
            seat.kernel = None
        elif memory.kernel in ("", kernel):
            memory.kernel = ""
            self._leader = seat.index
            for each in self._seats:
                each.kernel = None

    def _bring_back(self, seat: _Seat, reason: str, pid: int) -> None:
        delay = min(_FIRST_BACKOFF_SECS * 2 ** min(seat.failures, 30), MAX_BACKOFF_SECS)
        seat.failures += 1
        seat.restarts += 1
        seat.starting = asyncio.get_running_loop().call_later(delay, self._start_process, seat)
        self._post(WorkerDied(self._clock(), seat.worker, pid, reason, delay))

    # Supervision

    async def _look_after(self) -> None:
        looks = 0
        while True:
            now = time.monotonic()
            for seat in self._seats:
                counters = self._memory.read_counters(seat.index)
                seat.hashes_seen.append((now, counters.hashes))
                if seat.process is not None:
                    self._check_alive(seat, seat.process, counters.heartbeat_ns)
                    if looks % _MEMORY_LOOKS == 1:
                        self._check_memory(seat.process)
            looks += 1
            await asyncio.sleep(LOOK_SECS)

    @staticmethod
    def _check_alive(seat: _Seat, process: WorkerProcess, heartbeat_ns: int) -> None:
        """Kill a worker that hangs. Checks are counted instead of seconds, since we may have been suspended with it."""
        seat.silent_looks = 0 if heartbeat_ns != seat.heartbeat_ns else seat.silent_looks + 1
        seat.heartbeat_ns = heartbeat_ns
        silent_secs = seat.silent_looks * LOOK_SECS
        allowed_secs = START_SECS if process.ready_secs is None else HANG_SECS
        if silent_secs >= allowed_secs:
            process.kill(f"no heartbeat for {allowed_secs:.0f} s")
        elif silent_secs >= HANG_SECS and _is_stopped(process.pid):  # it may hold the lock of the compiled kernels
            process.kill("stopped by a signal while it started")

    def _check_memory(self, process: WorkerProcess) -> None:
        limit = self.settings.max_memory_bytes
        if limit is None:
            return
        try:
            rss_bytes = psutil.Process(process.pid).memory_info().rss
        except (psutil.Error, OSError):  # it has just ended, or no file descriptor is free
            return
        if rss_bytes > max(limit // len(self._seats), WORKER_MEMORY_BYTES):
            process.kill(f"used {rss_bytes >> 20} MiB, more than its share of max_memory_gb")


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except (psutil.Error, OSError):  # it has just ended, or no file descriptor is free
        return False
