"""What is known of miners, by worker name: totals over restarts of the server, rates, and who is connected."""

from __future__ import annotations

from collections import deque

from msgspec import structs

from solominer.engines.stratum.channel import MinerReport, Report
from solominer.engines.stratum.shared import Tallies
from solominer.engines.stratum.vardiff import HASHES_PER_DIFFICULTY
from solominer.work.workers import EngineSnapshot, WorkerId, WorkerSnapshot

NAME = "stratum"
"""The engine's name, the first half of its workers' ids."""

MOST_SHOWN = 256
"""Names with a line of their own in status and records; what comes beyond counts under one name."""

RATE_SECS = 600.0
_SAMPLE_SECS = 10.0


class _Miner:
    """One name. `before` are shares and work of server processes that have ended."""

    def __init__(self, report: MinerReport, now: float) -> None:
        self.report = report
        self.shares_before = 0
        self.work_before = 0.0
        self.samples: deque[tuple[float, float]] = deque([(now, 0.0)])

    @property
    def work(self) -> float:
        return self.work_before + self.report.work

    def take(self, report: MinerReport, now: float) -> None:
        """A newer report of this process."""
        if report.connections and not self.report.connections:
            self.samples = deque([(now, self.work)])
        self.report = report

    def rate_hps(self, now: float) -> float:
        """From the work of the last minutes, or since it connected."""
        samples, work = self.samples, self.work
        if not self.report.connections:
            return 0.0
        if now - samples[-1][0] >= _SAMPLE_SECS:
            samples.append((now, work))
        while len(samples) > 1 and now - samples[1][0] >= RATE_SECS:
            samples.popleft()
        then, before = samples[0]
        return (work - before) * HASHES_PER_DIFFICULTY / (now - then) if now - then >= 1 else 0.0


class Miners:
    """All names of a run, in the order in which they came."""

    def __init__(self) -> None:
        self._miners: dict[str, _Miner] = {}

    def report(self, now: float, report: Report) -> None:
        """The server's news of a second."""
        for miner in report.miners:
            known = self._miners.get(miner.name)
            if known is None:
                self._miners[miner.name] = _Miner(miner, now)
            else:
                known.take(miner, now)

    def server_ended(self) -> None:
        """The process is gone, with all its connections; the next one counts from 0."""
        for miner in self._miners.values():
            miner.shares_before += miner.report.accepted
            miner.work_before += miner.report.work
            miner.report = structs.replace(miner.report, accepted=0, rejected={}, work=0.0, connections=0)

    def snapshot(self, now: float, has_work: bool) -> EngineSnapshot:
        """Every miner, or beyond MOST_SHOWN the rest as one."""
        named = [each for each in self._miners.values() if each.report.name != Tallies.OTHERS]
        others = self._miners.get(Tallies.OTHERS)
        workers = [_snapshot(each.report.name, [each], now, has_work) for each in named[:MOST_SHOWN]]
        rest = [*named[MOST_SHOWN:], *([others] if others else ())]
        if rest:
            workers.append(_snapshot(Tallies.OTHERS, rest, now, has_work))
        active = sum(worker.state == "hashing" for worker in workers)
        return EngineSnapshot(NAME, tuple(workers), active)


def _snapshot(name: str, miners: list[_Miner], now: float, has_work: bool) -> WorkerSnapshot:
    newest = miners[-1].report
    connections = sum(miner.report.connections for miner in miners)
    return WorkerSnapshot(
        worker=WorkerId(NAME, name),
        state="lost" if not connections else "hashing" if has_work else "idle",
        hashes_credited=sum(miner.work for miner in miners) * HASHES_PER_DIFFICULTY,
        rate_hps=sum(miner.rate_hps(now) for miner in miners),
        shares=sum(miner.shares_before + miner.report.accepted for miner in miners),
        details={
            "kernel": newest.user_agent,
            "peer": newest.peer,
            "connections": connections,
            "difficulty": newest.difficulty,
            "best_difficulty": max(miner.report.best for miner in miners),
            "rejected": sum(sum(miner.report.rejected.values()) for miner in miners),
        },
    )
