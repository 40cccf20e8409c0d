"""The state of a run at pools, as a Snapshot for views."""

from __future__ import annotations

from collections.abc import Sequence

from solominer.chain.target import difficulty
from solominer.config.models import Config
from solominer.daemon.job_view import coinbase_view
from solominer.daemon.status import worker_view
from solominer.insight.estimate import Estimate
from solominer.upstream.miner import PoolMiner
from solominer.upstream.pools import Pools, Seat
from solominer.upstream.submit import Outcome
from solominer.views.logs import RecentEvents
from solominer.views.snapshot import PoolView, Snapshot
from solominer.work.workers import EngineSnapshot


def pool_snapshot_of(
    *,
    at: float,
    started_at: float,
    config: Config,
    miner: PoolMiner,
    pools: Pools,
    engines: Sequence[EngineSnapshot],
    rate: Estimate,
    recent: RecentEvents,
) -> Snapshot:
    """The state at `at` (Unix seconds), without pauses. Fees and transactions are unknown: 0."""
    job, current = miner.job, pools.current
    return Snapshot(
        at=at,
        mode=config.mode,
        network=config.chain.name,
        simulated=False,
        status=miner.status,
        started_at=started_at,
        height=job.template.height - 1 if job else 0,
        tip_hex=job.template.prevhash_hex if job else "",
        tip_at=miner.tip_at.wall if miner.tip_at else 0.0,
        transactions=0,
        fees_sats=0,
        template_at=miner.job_at.wall if miner.job_at else 0.0,
        network_difficulty=difficulty(job.template.target) if job else 0.0,
        share_difficulty=difficulty(job.share_target) if job else 0.0,
        rate_hps=rate.value,
        rate_low_hps=rate.low,
        rate_high_hps=rate.high,
        hashes=round(sum(engine.hashes for engine in engines)),
        shares=miner.shares,
        accepted_blocks=miner.pool_blocks,
        payout=f"the pool {current.pool.url} pays {current.pool.user}" if current else "",
        data_dir=str(config.records_dir),
        workers=tuple(worker_view(worker) for engine in engines for worker in engine.workers),
        nodes=(),
        blocks=(),
        events=tuple(recent.lines),
        alarms=tuple(recent.alarms),
        coinbase=coinbase_view(job.coinbase, config.chain, b"") if job else None,
        pools=tuple(_pool(seat, active=seat is current) for seat in pools.seats),
    )


def _pool(seat: Seat, *, active: bool) -> PoolView:
    counts = seat.submissions.counts
    return PoolView(
        url=seat.pool.url,
        user=seat.pool.user,
        active=active,
        state=seat.standing.value,
        note=seat.problem,
        accepted=counts[Outcome.ACCEPTED],
        rejected=counts[Outcome.REJECTED],
        stale=counts[Outcome.STALE],
        unanswered=counts[Outcome.UNANSWERED],
        difficulty=seat.difficulty,
        latency_secs=seat.submissions.latency_secs,
        message=seat.message,
    )
