"""What a run says of its first hash, and of having computed none."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from solominer.daemon import status
from solominer.daemon.status import Sampler, why_no_hash


def pool(*kernels: str, restarts: int = 0) -> Any:
    return SimpleNamespace(workers=[SimpleNamespace(kernel=kernel, restarts=restarts) for kernel in kernels])


def test_no_worker_was_ready() -> None:
    text = why_no_hash(pool("", "").workers, "mining")
    assert "compiles the kernels" in text
    assert "--seconds" in text


def test_workers_that_died_were_not_just_slow() -> None:
    assert why_no_hash(pool("", restarts=2).workers, "mining") == "no worker could start; the warnings above say why"


def test_workers_were_ready_and_had_nothing_to_do() -> None:
    assert why_no_hash(pool("", "sha-x86").workers, "waiting for a node") == "the daemon was waiting for a node"
    assert why_no_hash(pool("").workers, "paused: by hand") == "the daemon was paused: by hand"


def test_the_pool_is_asked_until_the_first_hash_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples after it take the engines' counters alone."""
    looks = itertools.count(1)

    def pool_snapshot() -> Any:
        return SimpleNamespace(workers=[SimpleNamespace(started_ns=1 if next(looks) == 3 else 0)])

    fake: Any = SimpleNamespace(
        pool_snapshot=pool_snapshot,
        count_hashes=lambda: (SimpleNamespace(hashes=7, rate_hps=1.0),),
        post=lambda event: None,
        system=lambda at, readings: None,
        tick=lambda at: None,
        look=lambda wall, mono: None,
    )
    sampled: list[int] = []
    sampler = Sampler(fake, [fake], fake, fake, sampled.append)
    monkeypatch.setattr(status, "SAMPLE_SECS", 0.0)

    async def sample() -> None:
        task = asyncio.create_task(sampler.run())
        while len(sampled) < 10 and not task.done():
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(sample())
    assert next(looks) == 4
    assert set(sampled) == {7}
