"""The GPU engine: a worker process for each graphics card, under the supervision that the CPU's workers have."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from solominer.engines.gpu.listing import KERNELS, Card, list_cards, missing
from solominer.engines.pool.pool import PoolSettings, WorkerPool
from solominer.engines.pool.startup import DeviceSetup
from solominer.errors import EngineError
from solominer.plan.plan import Lanes, SearchPlan
from solominer.work.instant import Clock
from solominer.work.ports import Post
from solominer.work.workers import ExtranonceRange

NAME = "gpu"
PLAN = SearchPlan(lanes=Lanes(chunk_nonces=1 << 22))
"""How cards walk through their own extranonces. The chunks are large: a card searches thousands of small ones a second,
each of which costs the host some microseconds. Search plans are for CPUs; no proof refers to this one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """`devices` are numbers of cards, None for all; `cpus` admits CPU devices such as PoCL. A launch lasts `launch_ms`.

    Above `max_temp_c` a card pauses. `alone`: nothing else hashes, so that starting without a card is an error.
    `engine` is the module that provides devices and kernels.
    """

    devices: tuple[int, ...] | None
    variant: str | None = None
    launch_ms: float = 8.0
    max_temp_c: float | None = None
    cpus: bool = False
    alone: bool = False
    cache_dir: Path | None = None
    engine: str = KERNELS


class GpuEngine(WorkerPool):
    """Cards as an engine (`work.ports.Engine`); its intensity is the fraction of the time that they are busy."""

    def __init__(self, gpus: GpuSettings, clock: Clock, report: Callable[[str], None] = log.info) -> None:
        pool = PoolSettings(
            0,
            gpus.variant,
            gpus.cache_dir,
            plan=PLAN,
            engine=gpus.engine,
            process="solominer.engines.gpu",
            name=NAME,
        )
        super().__init__(pool, clock, report)
        self._gpus = gpus

    async def start(self, post: Post, space: ExtranonceRange) -> None:
        """Find the cards and start their workers. Without any, raises EngineError if nothing else hashes."""
        try:
            cards = await asyncio.to_thread(self._cards)
        except EngineError as error:
            if self._gpus.alone:
                raise
            log.warning("no GPU is used: %s", error)
            cards = []
        gpus = self._gpus
        setups = tuple(DeviceSetup(card.index, gpus.launch_ms, gpus.max_temp_c, gpus.cpus) for card in cards)
        self.settings = replace(self.settings, workers=len(setups), devices=setups)
        self._wanted = self._limit = len(setups)
        await super().start(post, space)

    def _cards(self) -> list[Card]:
        gpus = self._gpus
        found = list_cards(cpus=gpus.cpus, cache_dir=gpus.cache_dir, engine=gpus.engine)
        problem = missing(found, gpus.devices)
        cards = [card for card in found if gpus.devices is None or card.index in gpus.devices]
        if not cards:
            raise problem or EngineError("no GPU with a driver found", "install the driver, or mine without --gpu")
        if problem:
            log.warning("%s", problem)
        return cards
