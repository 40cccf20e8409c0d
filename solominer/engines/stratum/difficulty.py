"""The difficulty of one connection: what was asked for, what is allowed, what vardiff found, and what each job had."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from solominer.engines.stratum.agents import UNKNOWN, Agent
from solominer.engines.stratum.extranonces import Held
from solominer.engines.stratum.names import PasswordOptions
from solominer.engines.stratum.shares import share_target
from solominer.engines.stratum.vardiff import Rule, Vardiff, rate_interval_hps

LEAST_WHOLE, LEAST_FRACTION = 1.0, 1e-4
MOST_REMEMBERED = 256
"""Difficulties by which late shares of a session are judged; shares from before those only count if they are blocks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A listener's bounds. `start` 0: by user agent. `fractional`: clients have no lower bound (test networks)."""

    start: float = 0.0
    least: float = 0.0
    most: float = math.inf
    fractional: bool = False


class Difficulty:
    """Decides a connection's difficulty. Below 1 only for CPU-class clients, on request, or on test networks.

    A client's password `x=` fixes it; `d=` and minimum-difficulty are floors. A suggestion is where vardiff starts over
    from; the same one again changes nothing. `powers`: powers of two alone.
    """

    __slots__ = (
        "_agent", "_fixed", "_floor", "_limits", "_network", "_powers", "_resumed", "_suggested", "_vardiff",
        "announced",
    )  # fmt: skip

    def __init__(self, limits: Limits, *, powers: bool = False) -> None:
        self._limits, self._powers = limits, powers
        self._vardiff: Vardiff | None = None
        self._agent: Agent = UNKNOWN
        self._network = math.inf
        self._fixed = self._floor = self._suggested = self._resumed = 0.0
        self.announced = 0.0

    @property
    def shares(self) -> int:
        """Shares that count for the hash rate, since the first job."""
        return self._vardiff.shares if self._vardiff else 0

    def rate_interval_hps(self, now: float) -> tuple[float, float, float]:
        """Mean and 95 % interval of the hash rate since the first job, in H/s (`vardiff.rate_interval_hps`)."""
        if self._vardiff is None:
            return rate_interval_hps(0, 0.0)
        self._vardiff.set(self._vardiff.difficulty, now)
        return rate_interval_hps(self._vardiff.shares, self._vardiff.exposure)

    def ask(self, options: PasswordOptions) -> None:
        """The options of the password that came with the first login."""
        self._fixed = options.fixed_difficulty
        self._floor = max(self._floor, options.least_difficulty)

    def resume(self, difficulty: float) -> None:
        """The difficulty that the session had before; 0 for a new one."""
        self._resumed = difficulty

    def at_least(self, difficulty: float, now: float) -> bool:
        """The client asks for a floor. Whether it is to get another difficulty now."""
        self._floor = difficulty
        return self._apply(now)

    def bound(self, limits: Limits, now: float) -> bool:
        """The listener has these bounds from now on. Whether the client is to get another difficulty now."""
        self._limits = limits
        return self._apply(now)

    def suggest(self, difficulty: float, now: float) -> bool:
        """The client suggests a difficulty. Whether it is to get another one now."""
        if difficulty == self._suggested:
            return False
        self._suggested = difficulty
        return self._apply(now, difficulty)

    def share(self, hash_int: int, now: float) -> bool:
        """A proven share arrived. Whether the difficulty is to change."""
        vardiff = self._vardiff
        if vardiff is None or hash_int > share_target(vardiff.difficulty):
            return False
        return vardiff.share(now) and vardiff.difficulty != self.announced

    def counts_all_at(self, difficulty: float) -> bool:
        """Whether each share that meets `difficulty` counts: it is the one in force."""
        return self._vardiff is not None and self._vardiff.difficulty == difficulty

    def many(self, count: int, difficulty: float, now: float) -> bool:
        """So many shares arrived which meet `difficulty`: they count if it is in force. Whether it is to change."""
        vardiff = self._vardiff
        if vardiff is None or vardiff.difficulty != difficulty:
            return False
        return vardiff.share(now, count) and vardiff.difficulty != self.announced

    def tick(self, now: float) -> bool:
        """Time passed. Whether the difficulty is to change."""
        return self._vardiff is not None and self._vardiff.tick(now)

    def pause(self, now: float) -> None:
        """There was no work until `now`."""
        if self._vardiff is not None:
            self._vardiff.pause(now)

    def for_job(
        self, held: Held, seq: int, agent: Agent, network_difficulty: float, oldest_seq: int, now: float
    ) -> float:
        """The difficulty that job number `seq` is announced with. What jobs before `oldest_seq` had is forgotten."""
        if self._vardiff is None or self._agent is not agent or self._network != network_difficulty:
            self._agent, self._network = agent, network_difficulty
            rule = self._rule()
            if self._vardiff is None:
                self._vardiff = Vardiff(rule, self._start(), now)
            elif self._vardiff.rule != rule:
                self._vardiff.change_rule(rule, now)
        self.announced = self._vardiff.difficulty
        history = held.difficulties
        if not history or history[-1][1] != self.announced:
            history.append((seq, self.announced))
            while len(history) > MOST_REMEMBERED or (len(history) > 1 and history[1][0] <= oldest_seq):
                del history[0]
        return self.announced

    @staticmethod
    def of_job(held: Held, seq: int) -> float | None:
        """The difficulty with which job number `seq` was announced to this session; None if it never was."""
        for first_seq, difficulty in reversed(held.difficulties):
            if seq >= first_seq:
                return difficulty
        return None

    def _start(self) -> float:
        return self._suggested or self._resumed or self._limits.start or self._agent.start_difficulty

    def _rule(self) -> Rule:
        asked = self._fixed, self._floor, self._suggested
        return _rule(self._limits, self._agent, self._network, asked, powers=self._powers)

    def _apply(self, now: float, wanted: float = 0.0) -> bool:
        if self._vardiff is None:
            return False
        rule = self._rule()
        if rule != self._vardiff.rule:
            self._vardiff.change_rule(rule, now)
        if wanted:
            self._vardiff.set(wanted, now)
        return self._vardiff.difficulty != self.announced


@lru_cache(maxsize=1024)
def _rule(limits: Limits, agent: Agent, network: float, asked: tuple[float, float, float], *, powers: bool) -> Rule:
    """The rule that many clients have in common; `asked` are a fixed difficulty, a floor and a suggestion."""
    fixed, floor, _ = asked
    fractional = limits.fractional or agent.fractional or min(filter(None, asked), default=1.0) < 1
    least = 0.0 if limits.fractional else LEAST_FRACTION if fractional else LEAST_WHOLE
    least = max(least, limits.least, agent.least_difficulty, floor)
    network = float(f"{network * (1 - 1e-5):.6g}")  # a little below, so that no block is kept back
    most = min(limits.most, network if fractional else max(network, LEAST_WHOLE))
    if fixed:
        least = most = min(max(fixed, limits.least), most)
    return Rule(shares_per_minute=agent.shares_per_minute, least=least, most=most, powers=powers)
