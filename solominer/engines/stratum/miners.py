"""What is known of miners, by worker name: totals over restarts of the server, rates, and who is connected."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace

from solominer.chain.target import difficulty
from solominer.engines.stratum.channel import MinerReport, Report
from solominer.engines.stratum.shared import Tallies
from solominer.work.miners import NO_HASH, MinerShares
from solominer.work.workers import EngineSnapshot, WorkerId, WorkerSnapshot

NAME = "stratum"
"""The engine's name, the first half of its workers' ids."""

MOST_SHOWN = 256
"""Names with a line of their own in status and records; what comes beyond counts under one name."""

RATE_SECS = 600.0
SILENT_SECS = 30.0
"""How often the time of miners without news is added to their sums."""

_SAMPLE_SECS = 10.0


class _Miner:
    """One name with one kind of client."""

    def __init__(self, name: str, user_agent: str, now: float) -> None:
        self.name, self.user_agent = name, user_agent
        self.shares = self.hashes = self.rejected = 0
        self._connections: dict[int, int] = {}
        self.best_hash = NO_HASH
        self.difficulty = 0.0
        self._summed_at = now
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])

    @property
    def connections(self) -> int:
        """At all processes of the server."""
        return sum(self._connections.values())

    @property
    def counts(self) -> bool:
        """Whether it is connected, or has sent a share."""
        return bool(self.connections or self.shares or self.rejected)

    def take(self, report: MinerReport, now: float, process: int) -> MinerShares:
        """Add a report; what it adds to the sums."""
        passed, tally = self.passed(now), report.tally
        best_hash = int.from_bytes(tally.best_hash) if tally.best_hash else NO_HASH
        if report.connections and not self.connections:
            self._samples = deque([(now, self.hashes)])
        self.shares += tally.accepted
        self.hashes += tally.hashes
        self.rejected += sum(tally.rejected.values())
        self.best_hash = min(self.best_hash, best_hash)
        self._connections[process] = report.connections
        if report.connections or not self.connections:
            self.difficulty = report.difficulty
        return replace(
            passed,
            shares=tally.accepted,
            hashes=tally.hashes,
            hashes_squared=tally.hashes_squared,
            best_hash=best_hash,
            rejected=tally.rejected,
            connects=tally.connects,
        )

    def cut_off(self, process: int, now: float) -> MinerShares | None:
        """That process is gone; the time since the last sums, if it was connected there."""
        passed = self.passed(now) if self._connections.get(process) else None
        self._connections.pop(process, None)
        return passed

    def passed(self, now: float) -> MinerShares:
        """The time since the last sums, if it was connected."""
        secs = now - self._summed_at if self.connections else 0.0
        self._summed_at = now
        exposure_secs = secs / self.difficulty if self.difficulty else 0.0
        worker = str(WorkerId(NAME, self.name))
        return MinerShares(worker, self.user_agent, connected_secs=secs, exposure_secs=exposure_secs)

    def is_silent(self, now: float) -> bool:
        """Whether it is connected and nothing was added for a while."""
        return bool(self.connections) and now - self._summed_at >= SILENT_SECS

    def rate_hps(self, now: float) -> float:
        """From the shares of the last minutes, or since it connected."""
        samples = self._samples
        if not self.connections:
            return 0.0
        if now - samples[-1][0] >= _SAMPLE_SECS:
            samples.append((now, self.hashes))
        while len(samples) > 1 and now - samples[1][0] >= RATE_SECS:
            samples.popleft()
        then, before = samples[0]
        return (self.hashes - before) / (now - then) if now - then >= 1 else 0.0


class Miners:
    """All names of a run, in the order in which they came."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, _Miner]] = {}
        self._has_line: dict[str, bool] = {}
        """Of names that count: one that moved would have its hashes in two lines, for whoever keeps the sum of each."""

    def report(self, now: float, report: Report, process: int = 0) -> list[MinerShares]:
        """News of a second of one process of the server; what they add to the sums."""
        sums = []
        for news in report.miners:
            name, user_agent = news.tally.name, news.tally.user_agent
            miners = self._names.setdefault(name, {})
            if user_agent not in miners:
                miners[user_agent] = _Miner(name, user_agent, now)
            sums.append(miners[user_agent].take(news, now, process))
        sums += [miner.passed(now) for miner in self._all() if miner.is_silent(now)]
        return sums

    def server_ended(self, now: float, process: int = 0) -> list[MinerShares]:
        """The process is gone, with all its connections; what that adds to the sums."""
        return [passed for miner in self._all() if (passed := miner.cut_off(process, now)) is not None]

    def _all(self) -> list[_Miner]:
        return [miner for miners in self._names.values() for miner in miners.values()]

    def snapshot(self, now: float, has_work: bool) -> EngineSnapshot:
        """Every miner, or beyond MOST_SHOWN the rest as one; not who left without a share, as doctor does."""
        seen = {name: [each for each in miners.values() if each.counts] for name, miners in self._names.items()}
        named = {name: miners for name, miners in seen.items() if miners and name != Tallies.OTHERS}
        self._deal_lines(named)
        rest = [miner for name, miners in named.items() if not self._has_line[name] for miner in miners]
        rest += self._names.get(Tallies.OTHERS, {}).values()
        workers = [_snapshot(name, miners, now, has_work) for name, miners in named.items() if self._has_line[name]]
        if rest:
            workers.append(_snapshot(Tallies.OTHERS, rest, now, has_work))
        active = sum(worker.state == "hashing" for worker in workers)
        return EngineSnapshot(NAME, tuple(workers), active)

    def _deal_lines(self, names: Collection[str]) -> None:
        """Each keeps what it has as long as it counts."""
        self._has_line = {name: self._has_line[name] for name in names if name in self._has_line}
        left = MOST_SHOWN - sum(self._has_line.values())
        for name in names:
            if name not in self._has_line:
                self._has_line[name] = left > 0
                left -= 1


def _snapshot(name: str, miners: Sequence[_Miner], now: float, has_work: bool) -> WorkerSnapshot:
    newest = next((miner for miner in reversed(miners) if miner.connections), miners[-1])
    connections = sum(miner.connections for miner in miners)
    best_hash = min(miner.best_hash for miner in miners)
    return WorkerSnapshot(
        worker=WorkerId(NAME, name),
        state="lost" if not connections else "hashing" if has_work else "idle",
        hashes_credited=float(sum(miner.hashes for miner in miners)),
        rate_hps=sum(miner.rate_hps(now) for miner in miners),
        shares=sum(miner.shares for miner in miners),
        kernel=newest.user_agent,
        connections=connections,
        difficulty=newest.difficulty,
        best_difficulty=difficulty(max(best_hash, 1)) if best_hash < NO_HASH else 0.0,
        rejected=sum(miner.rejected for miner in miners),
    )
