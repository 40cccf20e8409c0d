"""Construct the parts of a run from the configuration, without starting them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from solominer.config.models import Config
from solominer.config.paths import default_cache_dir
from solominer.daemon.executor import log_alarm
from solominer.daemon.host_metrics import now
from solominer.engines.cpu.machine import usable_cores
from solominer.engines.cpu.plan_loader import check_for_workers, kernel_for, load_plan
from solominer.engines.cpu.plan_monitor import Alert, PlanMonitor
from solominer.engines.engine_set import EngineSet
from solominer.engines.gpu.engine import GpuEngine, GpuSettings
from solominer.engines.gpu.variants import variant as gpu_variant
from solominer.engines.pool.pool import PoolSettings, WorkerPool
from solominer.errors import ConfigError
from solominer.governor.policies import Policies, electricity_of, forecast_from
from solominer.records.events.event_log import Start
from solominer.records.journal.recovery import Replay
from solominer.records.recorder import Recorder
from solominer.records.settings import RecorderSettings
from solominer.work.payout import Payout
from solominer.work.policy import KEEP_BYTES, KEEP_SECS, Policy, RetryPolicy
from solominer.work.ports import BlockObserver, Engine, Node, ShareObserver
from solominer.work.workers import ExtranonceDealer, ExtranonceRange

if TYPE_CHECKING:
    from solominer.engines.cluster.engine import ClusterEngine
    from solominer.engines.cluster.settings import ClusterSettings
    from solominer.engines.stratum.engine import StratumEngine, StratumSettings

STRATUM_EXTRANONCES = 1 << 24
"""Maximum number of connected and resumable miners."""
CLUSTER_EXTRANONCES = 1 << 28
"""Four for each time that a node joins in a run."""
LEDGER_PATIENCE_SECS = 1.0
"""How long the acknowledgement of a node's share waits for the ledger; after that it waits for the next time."""

log = logging.getLogger("solominer.daemon.daemon")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a run that is ready to mine."""

    recorder: Recorder
    replay: Replay
    pool: WorkerPool
    gpus: GpuEngine | None
    engines: EngineSet
    stratum: StratumEngine | None
    cluster: ClusterEngine | None
    nodes: Mapping[str, Node]
    payout: Payout
    signs: bool
    block_state: BlockObserver

    @property
    def pools(self) -> tuple[WorkerPool, ...]:
        """The engines of our own worker processes."""
        return (self.pool,) if self.gpus is None else (self.pool, self.gpus)


def recorder_of(config: Config) -> Recorder:
    """The recorder, not yet opened."""
    settings = RecorderSettings(
        journal_fallback_dir=config.journal_fallback_dir,
        signing_key=config.records.signing_key,
        keep_days=config.records.keep_days,
        quota_bytes=int(config.records.quota_gb * 2**30),
        free_bytes=int(config.records.free_gb * 2**30),
    )
    network = config.chain.name
    return Recorder(config.records_dir, config.tree_name, network=network, on_alarm=log_alarm, settings=settings)


def pool_settings_of(config: Config) -> PoolSettings:
    """The CPU pool's settings with its search plan. Raises PlanError."""
    plan = load_plan(config.plan, config.mode)
    kernel = kernel_for(plan, config.kernel)
    settings = PoolSettings(**pool_limits(config), kernel=kernel, cache_dir=default_cache_dir(), plan=plan)
    check_for_workers(plan, settings.admitted_workers)
    log.info("search plan %s, order %s (%s)", plan.hash_hex[:16], plan.strides.order, config.plan or "the default")
    return settings


def pool_limits(config: Config) -> dict[str, Any]:
    """The settings of the CPU pool that a reload changes."""
    memory = None if config.max_memory_gb is None else int(config.max_memory_gb * 2**30)
    workers = 0 if config.is_proxy else config.cpu_workers
    if workers is None:
        workers = max(1, usable_cores() - config.cpu_cores_reserved)
    return {"workers": workers, "nice": config.nice, "max_memory_bytes": memory}


def gpus_of(config: Config) -> GpuEngine | None:
    """The engine of graphics cards, or None if none is configured. Raises ConfigError for an unknown kernel."""
    gpu = config.gpu
    if not gpu.is_on:
        return None
    if gpu.kernel is not None:
        gpu_variant(gpu.kernel)
    settings = GpuSettings(
        gpu.numbers,
        gpu.kernel,
        gpu.launch_ms,
        gpu.max_temperature_c,
        cpus=gpu.cpu_devices,
        alone=config.cpu_workers == 0 and not config.stratum and not config.cluster.servers,
        cache_dir=default_cache_dir(),
    )
    return GpuEngine(settings, now, log.info)


def stratum_of(config: Config, recorder: Recorder, ask: Callable[[str], Awaitable[Payout]]) -> StratumEngine | None:
    """The Stratum server, or None if no listener is configured."""
    if not config.stratum:
        return None
    from solominer.engines.stratum.engine import StratumEngine

    def note(kind: str, fields: Mapping[str, Any]) -> None:
        recorder.record(now().wall, kind, fields)

    return StratumEngine(_stratum_settings(config), now, ask=ask, note=note, sums=recorder.miners)


def cluster_of(config: Config, recorder: Recorder, replay: Replay) -> ClusterEngine | None:
    """The cluster's head, or None if no server is configured. Raises ConfigError."""
    if not config.cluster.servers:
        return None
    from solominer.engines.cluster.engine import ClusterEngine
    from solominer.engines.cluster.members import NAME
    from solominer.records.ledger.recent_shares import recent_shares

    return ClusterEngine(
        cluster_settings_of(config),
        now,
        note=lambda kind, fields: recorder.record(now().wall, kind, fields),
        write=lambda: recorder.flush(LEDGER_PATIENCE_SECS),
        recorded=recent_shares(recorder.tree, NAME, now().wall - KEEP_SECS),
        blocks={entry.hash_le for entry in replay.blocks if entry.block is not None},
    )


def cluster_settings_of(config: Config) -> ClusterSettings:
    """Servers, certificates and files of the cluster's head. Raises ConfigError."""
    from solominer.engines.cluster.join_file import ClusterFiles, node_names
    from solominer.engines.cluster.settings import ClusterSettings

    files = ClusterFiles.read(config.cluster_dir)
    return ClusterSettings(
        (files.local_url,) if config.cluster.is_embedded else config.cluster.servers,
        config.chain.name,
        files.tls_context(),
        jobs_file=None if config.mode_rules.simulated else config.tree_dir / "cluster-jobs.bin",
        replicas=3 if len(files.servers) > 2 else 1,
        has_standby=config.cluster.standby,
        node_names=lambda: node_names(config.cluster_dir),
    )


def _stratum_settings(config: Config) -> StratumSettings:
    from solominer.engines.stratum.channel import ListenerSetup, ServerLimits
    from solominer.engines.stratum.engine import StratumSettings

    settings = StratumSettings(
        tuple(ListenerSetup.of(listener, config.chain.name) for listener in config.stratum),
        config.coinbase_tag.encode(),
        config.tree_dir / "stratum-sessions.json",
        works_file=None if config.mode_rules.simulated else config.tree_dir / "stratum-works.bin",
        group_file=config.tree_dir / "stratum-group.json",
        authority_file=config.tree_dir / "stratum-authority.json",
        group_window=round(1000 * config.group_window),
        limits=ServerLimits(config.stratum_limits.connections, config.stratum_limits.connections_per_address),
        simulated=config.mode_rules.simulated,
        cache_dir=default_cache_dir(),
        processes=config.stratum_processes,
    )
    if not config.mode_rules.at_a_pool:
        return settings
    # A pool's jobs end with its connection: nothing of them is kept, and no answer waits for a block on our disk.
    return replace(settings, sessions_file=None, works_file=None, authority_file=None, simulated=True, at_a_pool=True)


def extranonces_of(
    stratum: StratumEngine | None, cluster: ClusterEngine | None
) -> tuple[ExtranonceDealer, dict[str, ExtranonceRange]]:
    """A dealer of extranonce1 that differs from run to run, and the ranges of those who need many values.

    The Stratum server keeps its range as long as miners may resume their sessions: what they find in a job of the last
    run counts only with the extranonce1 that they had.
    """
    first = stratum.extranonce_first() if stratum else None
    if first is None:
        first = int.from_bytes(os.urandom(4))
    dealer = ExtranonceDealer(first + STRATUM_EXTRANONCES + int.from_bytes(os.urandom(3)))
    ranges = {stratum.name: ExtranonceRange(first, STRATUM_EXTRANONCES)} if stratum else {}
    if cluster:
        ranges[cluster.name] = dealer.deal(CLUSTER_EXTRANONCES)
    return dealer, ranges


def sharing_of(config: Config, more: Sequence[Engine] = ()) -> int:
    """How many engines of this machine, and `more`, divide a pool's extranonce."""
    return (config.cpu_workers != 0 and not config.is_proxy) + config.gpu.is_on + len(more)


async def apply_to_engines(config: Config, pool: WorkerPool, stratum: StratumEngine | None) -> list[str]:
    """Apply a reloaded configuration to the engines; returns a line for each setting that cannot be applied."""
    problems = pool.apply(replace(pool.settings, **pool_limits(config)))
    if stratum is not None:
        problems += await stratum.apply(_stratum_settings(config))
    elif config.stratum:
        problems.append("stratum: adding the first listener requires a restart")
    return problems


def plan_monitor_of(pool: WorkerPool, recorder: Recorder, alert: Alert) -> ShareObserver:
    """The monitor that checks the CPU pool against its search plan."""
    plan, workers, mono = pool.settings.plan, pool.settings.admitted_workers, time.monotonic()
    return PlanMonitor(plan, workers, pool.hashes_of, pool.pool_snapshot, alert, recorder.record, mono)


def start_of(config: Config, parts: Parts, max_blocks: int | None) -> Start:
    """The coordinator's initial state for these nodes and this payout. Raises ConfigError."""
    mode, payout = config.mode_rules, parts.payout
    sign_for = None
    if parts.signs:  # only the first extranonce of the first worker is signed
        first = next((pool for pool in parts.pools if pool.settings.workers), None)
        if first is None:
            raise ConfigError("blocks of this chain are signed, which requires a CPU worker", "set cpu_workers to 1")
        extranonce = first.settings.plan.extranonce(0, first.settings.admitted_workers, 0)
        sign_for = (parts.engines.extranonce1(first.name), extranonce)
    policy = Policy(
        refresh_secs=config.refresh_secs,
        stale_secs=config.stale_secs,
        shares_per_hour=config.shares_per_hour,
        empty_first=config.mines_empty_first and not mode.simulated,
        staging=mode.proposes_only,
        submit=not mode.simulated,
        max_blocks=max_blocks,
        sign_for=sign_for,
        retry=RetryPolicy(config.retry.first_secs, config.retry.most_secs, config.retry.look_secs),
    )
    if config.stratum or config.cluster.servers:  # others may hand in shares for as long as jobs are kept
        policy = replace(policy, keep_job_secs=KEEP_SECS, keep_job_bytes=KEEP_BYTES)
    log.info("the whole reward goes to %s", payout.describe())
    tag = config.coinbase_tag.encode()
    return Start(config.chain, tuple(parts.nodes), payout, tag, policy, os.urandom(2))


def policies_of(config: Config, engines: EngineSet, recorder: Recorder, nodes: Mapping[str, Node]) -> Policies | None:
    """The policies, or None if none is set."""
    settings = config.policies
    if not settings.is_on:
        if settings.dry_run:
            log.warning("policies.dry_run has no effect: no policy is set")
        return None
    return Policies(
        settings,
        electricity_of(config.electricity),
        engines.snapshot,
        note=recorder.record,
        forecast=lambda: forecast_from(nodes.values()),
        clock=now,
    )
