"""The parts of a run, made from the configuration: each function makes one and starts nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from solominer.config.listeners import ListenerConfig
from solominer.config.models import Config
from solominer.config.paths import default_cache_dir
from solominer.daemon.executor import LEVELS, alarm_text
from solominer.daemon.host_metrics import now
from solominer.engines.cpu.machine import usable_cores
from solominer.engines.cpu.plan_loader import check_for_workers, kernel_for, load_plan
from solominer.engines.cpu.plan_monitor import Alert, PlanMonitor
from solominer.engines.cpu.pool import PoolSettings, WorkerPool
from solominer.engines.engine_set import EngineSet
from solominer.errors import ConfigError
from solominer.governor.policies import Policies, electricity_of, forecast_from
from solominer.records.events.event_log import Start
from solominer.records.journal.recovery import Replay
from solominer.records.recorder import Recorder
from solominer.records.settings import RecorderSettings
from solominer.work.actions import Severity
from solominer.work.job import Payout
from solominer.work.policy import Policy, RetryPolicy
from solominer.work.ports import Engine, Node, ShareObserver

log = logging.getLogger("solominer.daemon.daemon")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run consists of once it may mine."""

    recorder: Recorder
    replay: Replay
    pool: WorkerPool
    engines: EngineSet
    nodes: Mapping[str, Node]
    payout: Payout
    signs: bool


def recorder_of(config: Config) -> Recorder:
    """The recorder, not opened yet."""

    def on_alarm(severity: str, code: str, message: str, todo: str) -> None:
        log.log(LEVELS[Severity(severity)], "%s", alarm_text(code, message, todo))

    settings = RecorderSettings(
        journal_fallback_dir=config.journal_fallback_dir,
        signing_key=config.records.signing_key,
        keep_days=config.records.keep_days,
        quota_bytes=int(config.records.quota_gb * 2**30),
        free_bytes=int(config.records.free_gb * 2**30),
    )
    network = config.chain.name
    return Recorder(config.records_dir, config.tree_name, network=network, on_alarm=on_alarm, settings=settings)


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
    workers = max(1, usable_cores() - config.cpu_cores_reserved) if config.cpu_workers is None else config.cpu_workers
    return {"workers": workers, "nice": config.nice, "max_memory_bytes": memory}


def stratum_of(
    config: Config, ask: Callable[[str], Awaitable[Payout]], note: Callable[[str, Mapping[str, Any]], None]
) -> Engine | None:
    """The Stratum server, where miners may connect."""
    if not config.stratum:
        return None
    from solominer.engines.stratum.channel import ListenerSetup
    from solominer.engines.stratum.engine import StratumEngine, StratumSettings

    def setup(listener: ListenerConfig) -> ListenerSetup:
        host, port, path = listener.place
        return ListenerSetup(
            host=host,
            port=port,
            path=path,
            certificate=str(listener.tls_certificate or ""),
            key=str(listener.tls_key or ""),
            pay_to=listener.payout,
            start_difficulty=listener.start_difficulty,
            least_difficulty=listener.least_difficulty,
            most_difficulty=listener.most_difficulty,
            fractional=config.chain.name in ("regtest", "signet"),
            proxies=listener.proxies,
        )

    settings = StratumSettings(
        tuple(map(setup, config.stratum)),
        config.coinbase_tag.encode(),
        config.records_dir / config.tree_name / "stratum-sessions.json",
        cache_dir=default_cache_dir(),
    )
    return StratumEngine(settings, now, ask=ask, note=note)


def plan_monitor_of(pool: WorkerPool, recorder: Recorder, alert: Alert) -> ShareObserver:
    """The monitor of the search plan over the CPU pool."""
    plan, workers, mono = pool.settings.plan, pool.settings.admitted_workers, time.monotonic()
    return PlanMonitor(plan, workers, pool.hashes_of, pool.pool_snapshot, alert, recorder.record, mono)


def start_of(config: Config, parts: Parts, max_blocks: int | None) -> Start:
    """What the coordinator begins with, for these nodes and this payout."""
    mode, payout, settings = config.mode_rules, parts.payout, parts.pool.settings
    sign_for = None
    if parts.signs:  # the one extranonce that the first worker begins every job with
        if not settings.workers:
            raise ConfigError("blocks of this chain are signed, so only a CPU worker can mine", "set cpu_workers to 1")
        first = settings.plan.extranonce(0, settings.admitted_workers, 0)
        sign_for = (parts.engines.extranonce1(parts.pool.name), first)
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
    if config.stratum:  # miners may hand in a share long after its job: as long as their server knows it
        from solominer.engines.stratum.jobs import KEEP_BYTES, KEEP_SECS

        policy = replace(policy, keep_job_secs=KEEP_SECS, keep_job_bytes=KEEP_BYTES)
    log.info("the whole reward goes to %s", payout.address or payout.script_pubkey.hex())
    tag = config.coinbase_tag.encode()
    return Start(config.chain, tuple(parts.nodes), payout, tag, policy, os.urandom(2))


def policies_of(config: Config, parts: Parts) -> Policies | None:
    """The policies, where any is set."""
    settings = config.policies
    if not settings.is_on:
        if settings.dry_run:
            log.warning("dry run of the policies: none is set, so there is nothing to try")
        return None
    return Policies(
        settings,
        electricity_of(config.electricity),
        parts.engines.snapshot,
        note=parts.recorder.record,
        forecast=lambda: forecast_from(parts.nodes.values()),
        clock=now,
    )
