"""Who mines for which address: the workers of a status by the address in their user names, as pools see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from solominer.engines.stratum.miners import NAME as STRATUM
from solominer.engines.stratum.names import parse_username
from solominer.engines.stratum.shared import Tallies
from solominer.web.compat.history import UNIT_HASHES, WorkerHistory, WorkHistory

UNNAMED = "worker"
"""What pools call a worker that logs in with an address alone."""


@dataclass(frozen=True, slots=True)
class Client:
    """One worker. `address` is empty where none is known; `name` is that of the worker alone.

    `view` is its WorkerView in the status, `past` what the ledger has of it.
    """

    address: str
    name: str
    view: Mapping[str, Any]
    past: WorkerHistory

    @property
    def is_connected(self) -> bool:
        """Whether it runs or is connected."""
        return bool(self.view["alive"])

    @property
    def best_of_run(self) -> float:
        """Difficulty of its best share since the daemon's start; 0 without one."""
        return max(float(self.view["best_difficulty"]), self.past.best_of_run)

    @property
    def best_difficulty(self) -> float:
        """Difficulty of its best share that is known; 0 without one."""
        return max(self.best_of_run, self.past.best_difficulty)

    @property
    def work(self) -> float:
        """Its work of the run, in shares of difficulty 1."""
        return float(self.view["hashes_counted"] + self.view["hashes_credited"]) / UNIT_HASHES

    @property
    def last_share_at(self) -> float:
        """Unix seconds, to the minute; 0 without one."""
        return self.past.last_share_at


def clients_of(status: Mapping[str, Any] | None, history: WorkHistory) -> list[Client]:
    """All workers of the status, without the sum of those that have no line of their own."""
    if status is None:
        return []
    found = []
    for view in status["workers"]:
        address, name = split(view["worker"], status)
        if name != Tallies.OTHERS:
            found.append(Client(address, name, view, history.worker(view["worker"])))
    return found


def split(worker: str, status: Mapping[str, Any]) -> tuple[str, str]:
    """(address, name) of a worker id. Whoever names no address works for the first payee."""
    engine, _, name = worker.partition("/")
    user = parse_username(name)
    if engine == STRATUM and user.address:
        return user.address, user.worker or UNNAMED
    payee = next((each["address"] for each in status["payouts"]), "")
    return parse_username(payee).address, name if engine == STRATUM else f"{engine}-{name}"
