"""The whole Stratum engine, with its process and real sockets, and what a daemon would make of its events."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from solominer.config.paths import default_cache_dir
from solominer.engines.stratum.channel import ListenerSetup, ServerLimits
from solominer.engines.stratum.engine import StratumEngine, StratumSettings
from solominer.work.events import Event, ShareFound
from solominer.work.found import FoundBlock
from solominer.work.instant import Instant
from solominer.work.job import Job, build_job
from solominer.work.judge import Judge
from solominer.work.miners import MinerShares
from solominer.work.payout import Payout
from solominer.work.workers import EngineSnapshot, ExtranonceRange
from tests.engines.stratum.wire import WireMiner
from tests.fakes import PAYOUT, real_clock
from tests.work.builders import real_template

LOCAL = ListenerSetup("127.0.0.1", 0, fractional=True)
SPACE = ExtranonceRange(0xFFFFFF00, 1 << 24)


class Bench:
    """An engine, the events it posts, and the judge that they would come before."""

    def __init__(
        self,
        *listeners: ListenerSetup,
        limits: ServerLimits | None = None,
        simulated: bool = False,
        processes: int = 1,
        authority_file: Path | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.sums: list[MinerShares] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.scripts: dict[str, bytes | Exception] = {}
        self.judge = Judge(3600.0, 64 << 20)
        self.jobs: list[Job] = []
        self.saves = not simulated
        settings = StratumSettings(
            listeners or (LOCAL,),
            b"/test/",
            limits=limits or ServerLimits(),
            simulated=simulated,
            cache_dir=default_cache_dir(),
            processes=processes,
            authority_file=authority_file,
        )
        self.engine = StratumEngine(
            settings,
            real_clock,
            ask=self._ask,
            note=lambda kind, fields: self.notes.append((kind, dict(fields))),
            sums=self.sums.extend,
        )

    async def _ask(self, address: str) -> Payout:
        script = self.scripts[address]
        if isinstance(script, Exception):
            raise script
        return Payout(script, address)

    def publish(self, *, tip: int = 0, empty: bool = False, share_target: int = 0) -> Job:
        """A job on the tip of that number; each has another id."""
        template = real_template()
        if tip:
            template = replace(template, prevhash_le=bytes([tip]) * 32)
        if empty:
            template = template.without_transactions()
        number = len(self.jobs) + 1
        job = build_job(template, PAYOUT, job_id=number, salt=number.to_bytes(4, "big"), share_target=share_target)
        self.jobs.append(job)
        self.judge.keep(job, Instant(0.0, 0.0))
        self.engine.publish(job, clean=True)
        return job

    def post(self, event: Event) -> None:
        """Take an event; a block is on disk at once if `saves`."""
        self.events.append(event)
        if self.saves and isinstance(event, ShareFound) and event.is_block:
            _, block = self.judge.judge(event, b"")
            assert block is not None
            self.engine.block_saved(block.hash_le)

    def of(self, kind: type) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def blocks(self) -> list[FoundBlock]:
        """What the judge makes of all shares: each block once."""
        judge = Judge(3600.0, 64 << 20)
        for job in self.jobs:
            judge.keep(job, Instant(0.0, 0.0))
        found = [judge.judge(share, b"")[1] for share in self.of(ShareFound)]
        return list({block.hash_le: block for block in found if block is not None}.values())

    def snapshot(self) -> EngineSnapshot:
        """The engine's."""
        return self.engine.snapshot()

    async def heard(self) -> None:
        """Wait until the server's processes have taken what the engine has sent them."""
        assert await self.engine.apply(self.engine.settings) == []

    async def until(self, holds: Callable[[], object], secs: float = 20.0) -> Any:
        """Wait until it holds; its value."""
        deadline = time.monotonic() + secs
        while not (value := holds()):
            assert time.monotonic() < deadline, f"not after {secs:g} s; events {self.events[-3:]}"
            await asyncio.sleep(0.01)
        return value


@contextlib.asynccontextmanager
async def running(
    *listeners: ListenerSetup,
    limits: ServerLimits | None = None,
    simulated: bool = False,
    processes: int = 1,
    authority_file: Path | None = None,
) -> AsyncIterator[Bench]:
    """An engine that runs; with an authority file it speaks V2 too."""
    bench = Bench(*listeners, limits=limits, simulated=simulated, processes=processes, authority_file=authority_file)
    await bench.engine.start(bench.post, SPACE)
    supervising = asyncio.create_task(bench.engine.run())
    try:
        yield bench
    finally:
        await bench.engine.stop(5.0)
        await asyncio.wait_for(supervising, 20.0)


def in_thread(work: Callable[[], Any]) -> Awaitable[Any]:
    """Blocking sockets beside the engine's loop."""
    return asyncio.to_thread(work)


def connected(bench: Bench, agent: str = "test/1", user: str = "rig.1", **options: Any) -> WireMiner:
    """A miner with its first job."""
    miner = WireMiner(url=bench.engine.urls[0], **options)
    miner.log_in(agent, user)
    return miner


def target_of(job: Job) -> int:
    """The network's target."""
    return job.template.target
