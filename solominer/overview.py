"""Builds the Snapshot that views show, from the parts of the running daemon."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.target import difficulty
from solominer.config import Config
from solominer.hashing.pool import PoolSnapshot
from solominer.insight.estimate import Estimate, from_counters
from solominer.views.snapshot import BlockView, NodeView, Snapshot, WorkerView
from solominer.work.blocks import TrackedBlock
from solominer.work.coordinator import Coordinator

WINDOW_SECS = 60


class RateWindow:
    """The hash rate of the last minute with its interval, from readings of the hash counter."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque(maxlen=WINDOW_SECS + 1)

    def add(self, mono: float, hashes: int) -> None:
        """One reading: monotonic seconds and hashes so far."""
        self._readings.append((mono, hashes))

    def estimate(self) -> Estimate:
        """Hashes per second; 0 with no reading yet."""
        pairs = zip(self._readings, list(self._readings)[1:], strict=False)
        samples = [(float(after - before), later - earlier) for (earlier, before), (later, after) in pairs]
        return from_counters(samples) if samples else Estimate(0.0, 0.0, 0.0)


def overview(
    *,
    at: float,
    started_at: float,
    config: Config,
    coordinator: Coordinator,
    pool: PoolSnapshot,
    rate: Estimate,
    payout: str,
    events: Sequence[tuple[float, str]],
) -> Snapshot:
    """One consistent look at everything."""
    template, job = coordinator.template, coordinator.job
    return Snapshot(
        at=at,
        mode=config.mode,
        network=config.chain.name,
        simulated=config.mode == "demo",
        status=coordinator.status,
        started_at=started_at,
        height=coordinator.tip_height,
        tip_hex=to_rpc_hex(coordinator.tip_le) if coordinator.tip_le else "",
        tip_at=coordinator.tip_at,
        transactions=len(template.transactions) if template else 0,
        fees_sats=template.fees_sats if template else 0,
        template_at=coordinator.template_at,
        network_difficulty=difficulty(template.target) if template else 0.0,
        share_difficulty=difficulty(job.share_target) if job else 0.0,
        rate_hps=rate.value,
        rate_low_hps=rate.low,
        rate_high_hps=rate.high,
        hashes=pool.hashes,
        shares=coordinator.judge.shares,
        accepted_blocks=coordinator.blocks.accepted_count,
        payout=payout,
        data_dir=str(config.records_dir),
        workers=tuple(
            WorkerView(w.index, w.pid or 0, w.alive, w.kernel, w.rate_hps, w.hashes, w.shares) for w in pool.workers
        ),
        nodes=tuple(_nodes(coordinator)),
        blocks=tuple(_block(tracked) for tracked in _recent_blocks(coordinator)),
        events=tuple(events),
    )


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
                max(health.height, coordinator.tip_height) if name == chooser.current else health.height,
                health.peers,
                health.zmq,
                health.rpc_secs,
                health.problem,
                coordinator.forks.note(name),
            )
        )
    return views


def _recent_blocks(coordinator: Coordinator) -> list[TrackedBlock]:
    blocks = [*coordinator.blocks.settled, *coordinator.blocks.open.values()]
    return sorted(blocks, key=lambda tracked: (tracked.block.height, tracked.block.found_at))[-8:]


def _block(tracked: TrackedBlock) -> BlockView:
    block = tracked.block
    return BlockView(block.height, block.hash_hex, tracked.state.value, tracked.confirmations, block.reward_sats)


def why_no_hash(pool: PoolSnapshot, status: str) -> str:
    """Why a run has not computed a single hash; `status` is the coordinator's."""
    if any(worker.kernel for worker in pool.workers):
        return f"the daemon was {status}"
    return (
        "no worker was ready yet; the first start on a machine compiles the kernels, which takes up to a minute "
        "-> run it again, or for longer (--seconds)"
    )
