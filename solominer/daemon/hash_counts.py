"""Records what engines have counted, and how many of their shares were dropped."""

from __future__ import annotations

from solominer.daemon.event_queue import EventQueue
from solominer.engines.engine_set import EngineSet
from solominer.records.recorder import Recorder
from solominer.work.instant import Clock
from solominer.work.workers import EngineSnapshot


class HashCounts:
    """The counters of `engines`, whose shares go through `queue`."""

    def __init__(self, engines: EngineSet, queue: EventQueue, recorder: Recorder, clock: Clock) -> None:
        self._engines, self._queue, self._recorder, self._clock = engines, queue, recorder, clock
        self._dropped = 0

    def record(self) -> tuple[EngineSnapshot, ...]:
        """Record the counters of all workers and the number of dropped shares; returns the counters."""
        wall, dropped = self._clock().wall, self._queue.dropped - self._dropped
        if dropped:
            self._dropped += dropped
            self._recorder.record(wall, "shares_dropped", {"shares": dropped})
        seen = self._engines.snapshot()
        for engine in seen:
            self._recorder.counters(wall, engine)
        return seen
