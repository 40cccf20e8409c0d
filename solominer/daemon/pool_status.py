"""The state of mining at pools, as a Snapshot for views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from solominer.chain.networks import Network
from solominer.chain.target import difficulty
from solominer.config.models import Config
from solominer.daemon.job_view import coinbase_view
from solominer.daemon.pool_work import PoolWork
from solominer.daemon.status import worker_view
from solominer.insight.estimate import Estimate
from solominer.upstream.pools import Seat
from solominer.upstream.submit import Outcome
from solominer.views.logs import RecentEvents
from solominer.views.snapshot import PoolView, Snapshot
from solominer.work.workers import EngineSnapshot


def pool_snapshot_of(
    *,
    at: float,
    started_at: float,
    config: Config,
    work: PoolWork,
    engines: Sequence[EngineSnapshot],
    rate: Estimate,
    recent: RecentEvents,
) -> Snapshot:
    """The state of a run at pools at `at` (Unix seconds), without pauses."""
    return Snapshot(
        at=at,
        mode=config.mode,
        network=config.chain.name,
        simulated=False,
        status=work.miner.status,
        started_at=started_at,
        rate_hps=rate.value,
        rate_low_hps=rate.low,
        rate_high_hps=rate.high,
        hashes=round(sum(engine.hashes for engine in engines)),
        shares=work.miner.shares,
        accepted_blocks=work.miner.pool_blocks,
        data_dir=str(config.records_dir),
        workers=tuple(worker_view(worker) for engine in engines for worker in engine.workers),
        nodes=(),
        blocks=(),
        stratum_urls=tuple(url for engine in engines for url in engine.urls),
        events=tuple(recent.lines),
        alarms=tuple(recent.alarms),
        pools=of_pools(work),
        **of_job(work, config.chain),
    )


def of_job(work: PoolWork, network: Network) -> dict[str, Any]:
    """The fields of a Snapshot that tell of a pool's job. Fees and transactions are unknown: 0."""
    job, current = work.miner.job, work.pools.current
    return {
        "height": job.template.height - 1 if job else 0,
        "tip_hex": job.template.prevhash_hex if job else "",
        "tip_at": work.miner.tip_at.wall if work.miner.tip_at else 0.0,
        "transactions": 0,
        "fees_sats": 0,
        "template_at": work.miner.job_at.wall if work.miner.job_at else 0.0,
        "network_difficulty": difficulty(job.template.target) if job else 0.0,
        "share_difficulty": difficulty(job.share_target) if job else 0.0,
        "payout": f"the pool {current.pool.url} pays {current.pool.user}" if current else "",
        "template": None,
        "coinbase": coinbase_view(job.coinbase, network, b"") if job else None,
    }


def of_pools(work: PoolWork) -> tuple[PoolView, ...]:
    """All its pools."""
    return tuple(_pool(seat, active=seat is work.pools.current) for seat in work.pools.seats)


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
