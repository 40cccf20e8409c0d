"""Current state of a run: the samples of every second, and the Snapshot for views."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.target import difficulty
from solominer.config.models import Config
from solominer.daemon.host_metrics import age_secs, machine, now
from solominer.daemon.job_view import TemplateViews, coinbase_view
from solominer.engines.pool.pool import WorkerPool
from solominer.engines.pool.snapshot import PoolWorkerSnapshot
from solominer.insight.estimate import Estimate, from_counters
from solominer.records.recorder import Recorder
from solominer.views.logs import RecentEvents
from solominer.views.snapshot import (
    BlockView,
    NodeView,
    PayoutView,
    Snapshot,
    WorkerView,
)
from solominer.work.blocks import TrackedBlock
from solominer.work.coordinator import Coordinator
from solominer.work.events import Event, HashRate
from solominer.work.job import Job
from solominer.work.payout import Payout
from solominer.work.ports import ShareObserver
from solominer.work.workers import EngineSnapshot, WorkerSnapshot

if TYPE_CHECKING:
    from solominer.engines.stratum.payouts import MinerPayouts

WINDOW_SECS = 60
SAMPLE_SECS = 1.0
SYSTEM_BEATS = 60
"""As often as the records keep it."""

log = logging.getLogger("solominer.daemon.daemon")


class RateWindow:
    """Hash rate of the last minute with its confidence interval, from readings of the hash counter."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque(maxlen=WINDOW_SECS + 1)

    def add(self, mono: float, hashes: int) -> None:
        """Add a reading: monotonic seconds and total hashes."""
        self._readings.append((mono, hashes))

    def estimate(self) -> Estimate:
        """Hashes per second; 0 without readings."""
        pairs = zip(self._readings, list(self._readings)[1:], strict=False)
        samples = [(float(after - before), later - earlier) for (earlier, before), (later, after) in pairs]
        return from_counters(samples) if samples else Estimate(0.0, 0.0, 0.0)


class Counted(Protocol):
    """What the sampler needs of the executor."""

    def count_hashes(self) -> tuple[EngineSnapshot, ...]:
        """Record the counters of all workers; returns them."""

    def post(self, event: Event) -> None:
        """Queue an event."""


class Sampler:
    """Every second, records the counters and runs the plan monitor; posts the hash rate to adjust the share target.

    `limit` is called with the total hashes.
    """

    def __init__(
        self,
        executor: Counted,
        pools: Sequence[WorkerPool],
        recorder: Recorder,
        observer: ShareObserver,
        limit: Callable[[int], None],
    ) -> None:
        self._executor, self._pools, self._recorder = executor, pools, recorder
        self._observer, self._limit = observer, limit
        self.rate = RateWindow()
        self.hashes = 0
        self._rate_hps = 0.0

    def count(self) -> None:
        """Record all counters."""
        engines = self._executor.count_hashes()
        self.hashes = round(sum(engine.hashes for engine in engines))
        self._rate_hps = sum(engine.rate_hps for engine in engines)

    async def run(self) -> NoReturn:
        """Sample until cancelled."""
        started = False
        beat = 0
        while True:
            self.count()
            self._limit(self.hashes)
            self._observer.look(time.time(), time.monotonic())
            if started:
                self.rate.add(time.monotonic(), self.hashes)
            else:
                started = self._say_first_hash()
            if beat % SYSTEM_BEATS == 0 and (seen := machine()) is not None:
                self._recorder.system(time.time(), seen)
            self._recorder.tick(time.time())
            if beat in (2, 5) or beat % 30 == 10:
                self._executor.post(HashRate(now(), self._rate_hps))
            beat += 1
            await asyncio.sleep(SAMPLE_SECS)

    def _say_first_hash(self) -> bool:
        """Whether hashing has started, by a worker of ours or else a miner; logs how long this took."""
        workers = [worker for pool in self._pools for worker in pool.pool_snapshot().workers]
        starts_ns = [worker.started_ns for worker in workers if worker.started_ns]  # 0 between two jobs
        if not starts_ns:
            return self.hashes > 0  # whose jobs may all have been done between two looks
        waited = min(starts_ns) / 1e9 - time.monotonic() + age_secs()
        log.info("hashing started %.2f s after the start of the process", waited)
        return True


def snapshot_of(
    *,
    at: float,
    started_at: float,
    config: Config,
    coordinator: Coordinator,
    engines: Sequence[EngineSnapshot],
    rate: Estimate,
    payout: Payout,
    miners: MinerPayouts | None,
    recent: RecentEvents,
    templates: TemplateViews,
) -> Snapshot:
    """The state at `at` (Unix seconds), without pauses."""
    template, job = coordinator.templates.latest, coordinator.job
    return Snapshot(
        at=at,
        mode=config.mode,
        network=config.chain.name,
        simulated=config.mode_rules.simulated,
        status=coordinator.status,
        started_at=started_at,
        height=coordinator.tip.height,
        tip_hex=to_rpc_hex(coordinator.tip_le) if coordinator.tip_le else "",
        tip_at=coordinator.tip.at.wall if coordinator.tip.at else 0.0,
        transactions=len(template.transactions) if template else 0,
        fees_sats=template.fees_sats if template else 0,
        template_at=coordinator.templates.at.wall if coordinator.templates.at else 0.0,
        network_difficulty=difficulty(template.target) if template else 0.0,
        share_difficulty=difficulty(job.share_target) if job else 0.0,
        rate_hps=rate.value,
        rate_low_hps=rate.low,
        rate_high_hps=rate.high,
        hashes=round(sum(engine.hashes for engine in engines)),
        shares=coordinator.judge.shares,
        accepted_blocks=coordinator.blocks.accepted_count,
        payout=payout.describe(),
        payouts=tuple(_payouts(payout, job)),
        data_dir=str(config.records_dir),
        workers=tuple(
            worker_view(worker) for engine in engines for worker in engine.workers if worker.state != "removed"
        ),
        nodes=tuple(_nodes(coordinator)),
        blocks=tuple(_block(tracked, coordinator.tip.height) for tracked in _recent_blocks(coordinator)),
        events=tuple(recent.lines),
        alarms=tuple(recent.alarms),
        stratum_urls=tuple(url for engine in engines for url in engine.urls),
        listeners=miners.listeners if miners else (),
        group=miners.group if miners else None,
        template=templates.of(job) if job else None,
        coinbase=coinbase_view(job.coinbase, config.chain, config.coinbase_tag.encode()) if job else None,
    )


def worker_view(seen: WorkerSnapshot) -> WorkerView:
    """One worker of any engine."""
    return WorkerView(
        worker=str(seen.worker),
        pid=seen.pid,
        alive=seen.state not in ("lost", "left"),
        kernel=seen.kernel,
        rate_hps=seen.rate_hps,
        hashes_counted=seen.hashes_counted,
        hashes_credited=seen.hashes_credited,
        shares=seen.shares,
        connections=seen.connections,
        difficulty=seen.difficulty,
        best_difficulty=seen.best_difficulty,
        rejected=seen.rejected,
        state=seen.state,
        temperature_c=seen.temperature_c,
        gone_at=seen.gone_at,
    )


def _payouts(payout: Payout, job: Job | None) -> Iterator[PayoutView]:
    """Each payee, with its amount in the job's block."""
    outputs = job.coinbase.outputs if job else ()
    for part in payout.parts:
        sats = sum(out.value_sats for out in outputs if out.script_pubkey == part.script_pubkey)
        yield PayoutView(part.address, part.basis_points, sats)


def _nodes(coordinator: Coordinator) -> list[NodeView]:
    chooser = coordinator.nodes
    views = []
    for name in chooser.names:
        health = chooser.healths.get(name)
        if health is None:
            views.append(NodeView(name, False, False, 0, None, "-", 0.0, "not asked yet"))
            continue
        views.append(
            NodeView(
                name,
                health.usable,
                name == chooser.current,
                max(health.height, coordinator.tip.height) if name == chooser.current else health.height,
                health.peers,
                health.zmq,
                health.rpc_secs,
                health.problem,
                coordinator.forks.note(name),
                health.ipc,
            )
        )
    return views


def _recent_blocks(coordinator: Coordinator) -> list[TrackedBlock]:
    blocks = [*coordinator.blocks.settled, *coordinator.blocks.open.values()]
    return sorted(blocks, key=lambda tracked: (tracked.block.height, tracked.block.found_at))[-8:]


def _block(tracked: TrackedBlock, tip_height: int) -> BlockView:
    block, confirmations = tracked.block, tracked.confirmations_at(tip_height)
    return BlockView(block.height, block.hash_hex, tracked.state.value, confirmations, block.reward_sats)


def why_no_hash(workers: Sequence[PoolWorkerSnapshot], status: str) -> str:
    """Why a run has computed no hashes; `status` is the coordinator's."""
    if not workers:
        return f"no miner has submitted a share; the daemon was {status}"
    if any(worker.kernel for worker in workers) or not status.startswith("mining"):
        return f"the daemon was {status}"
    if any(worker.restarts for worker in workers):
        return "no worker could start; the warnings above say why"
    return (
        "no worker was ready yet; the first start compiles the kernels, which takes up to a minute "
        "-> run it again, or for longer (--seconds)"
    )
