"""Checks of the configured pools: their files. Nothing is sent to a pool; `solominer try-stratum` tests one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from solominer.config.models import Config
from solominer.config.pools import PoolConfig
from solominer.doctor.check import Check, CheckOutcome, Finding, ok, run_checks
from solominer.upstream.connection import password_of, tls_context


def examine_pools(config: Config) -> Iterator[Finding]:
    """The pools of mode `pool` and the fallback."""
    for pool in (*config.pools, *config.fallback_pool):
        yield from run_checks([Check("pool", partial(_files, pool))], pool.url)


def _files(pool: PoolConfig) -> CheckOutcome:
    password_of(pool)
    if pool.tls:
        tls_context(pool)
    return ok("its settings can be used; solominer try-stratum tests the pool itself")
