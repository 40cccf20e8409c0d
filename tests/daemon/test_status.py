"""What a run says of its first hash, and of having computed none."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
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


def sampled(monkeypatch: pytest.MonkeyPatch, started_ns: Callable[[], int], hashes: Callable[[], int]) -> Sampler:
    """A sampler that has sampled ten times."""
    seen: list[int] = []
    fake: Any = SimpleNamespace(
        pool_snapshot=lambda: SimpleNamespace(workers=[SimpleNamespace(started_ns=started_ns())]),
        count_hashes=lambda: (SimpleNamespace(hashes=hashes(), rate_hps=1.0),),
        post=lambda event: None,
        system=lambda at, readings: None,
        tick=lambda at: None,
        look=lambda wall, mono: None,
    )
    sampler = Sampler(fake, [fake], fake, fake, seen.append)
    monkeypatch.setattr(status, "SAMPLE_SECS", 0.0)

    async def sample() -> None:
        task = asyncio.create_task(sampler.run())
        while len(seen) < 10 and not task.done():
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(sample())
    return sampler


def test_the_pool_is_asked_until_the_first_hash_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples after it take the engines' counters alone."""
    looks = itertools.count(1)
    sampled(monkeypatch, lambda: 1 if next(looks) == 3 else 0, lambda: 0)
    assert next(looks) == 4


def test_jobs_that_are_done_between_two_looks_have_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a block a second on a regtest chain."""
    counter = itertools.count(0, 512)
    sampler = sampled(monkeypatch, lambda: 0, lambda: next(counter))
    assert sampler.rate.estimate().value > 0
