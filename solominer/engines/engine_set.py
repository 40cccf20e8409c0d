"""All engines of a run as one: each gets every job, and a failing engine does not affect the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from solominer.work.events import ShareFound
from solominer.work.job import Job
from solominer.work.ports import Engine, Post
from solominer.work.workers import EngineSnapshot, ExtranonceDealer, ExtranonceRange, WorkerId

_log = logging.getLogger(__name__)


class EngineSet:
    """`engines` by name, each with its own extranonces: those in `ranges`, or 1 from `dealer`.

    A pool's jobs go only to engines that are not in `own_only`. `job` is what they search now. Raises ValueError if two
    engines have the same name.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        dealer: ExtranonceDealer,
        ranges: dict[str, ExtranonceRange] | None = None,
        own_only: Collection[str] = (),
    ) -> None:
        self.engines = {engine.name: engine for engine in engines}
        self.job: Job | None = None
        self._own_only, self._terms = own_only, (0, "")
        if len(self.engines) != len(engines):
            raise ValueError("two engines have the same name")
        self._spaces = {name: (ranges or {}).get(name) or dealer.deal(1) for name in self.engines}

    def extranonce1(self, engine: str) -> bytes:
        """The first extranonce1 of an engine."""
        return self._spaces[engine].nth(0)

    async def start(self, post: Post) -> None:
        """Start all; raises the error of the first that cannot be started."""
        for name, engine in self.engines.items():
            await engine.start(post, self._spaces[name])

    def publish(self, job: Job, *, clean: bool) -> bool:
        """Publish the job to the engines; returns whether its share target or its pool is another than the last's."""

        def give(engine: Engine) -> None:
            if not (job.pool and engine.name in self._own_only):
                engine.publish(job, clean=clean)

        self._each("publish", give)
        before, self._terms = self._terms, (job.share_target, job.pool)
        self.job = job
        return self._terms != before

    def stop_work(self) -> None:
        """Stop work in every engine."""
        self.job = None
        self._each("stop_work", lambda engine: engine.stop_work())

    def block_saved(self, worker: WorkerId, hash_le: bytes) -> None:
        """Tell the engine of `worker`, which found this block, that it is on disk."""
        self._each("block_saved", lambda engine: engine.block_saved(hash_le) if engine.name == worker.engine else None)

    def share_judged(self, share: ShareFound) -> None:
        """Tell the engine of this share that it was judged."""
        name = share.worker.engine
        self._each("share_judged", lambda engine: engine.share_judged(share) if engine.name == name else None)

    def set_intensity(self, share: float) -> None:
        """Set the intensity of every engine, 0 to 1."""
        self._each("set_intensity", lambda engine: engine.set_intensity(share))

    def snapshot(self) -> tuple[EngineSnapshot, ...]:
        """The state of every engine."""
        return tuple(engine.snapshot() for engine in self.engines.values())

    async def run(self) -> None:
        """Run all until the last one ends; raises the error of the first that fails."""
        async with asyncio.TaskGroup() as group:
            for engine in self.engines.values():
                group.create_task(engine.run(), name=f"engine {engine.name}")

    async def stop(self, timeout_secs: float) -> None:
        """Stop all, concurrently."""
        stops = (engine.stop(timeout_secs) for engine in self.engines.values())
        for problem in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(problem, BaseException):
                _log.error("an engine could not be stopped: %s", problem, exc_info=problem)

    def _each(self, what: str, act: Callable[[Engine], None]) -> None:
        for engine in self.engines.values():
            try:
                act(engine)
            except Exception:  # noqa: BLE001 - one engine's fault must not affect the others
                _log.exception("engine %s: %s failed; the other engines continue", engine.name, what)
