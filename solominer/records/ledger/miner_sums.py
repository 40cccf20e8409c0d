"""Sums of miners' shares for the ledger: one `miners` line a minute, however many miners and shares there are."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

from solominer.work.miners import NO_HASH, MinerShares

LISTED = 50
"""Miners listed individually in an hour's lines; the others are summed."""

MOST_WAITING = 20_000

_Key = tuple[str, str]


class MinerSums:
    """The miners' sums since the last line. They do not depend on the order or size of additions.

    The busiest miners are listed individually, each until the hour ends, so that its sums are complete.
    """

    def __init__(self, listed: int = LISTED) -> None:
        self._most = listed
        self._listed: set[_Key] = set()
        self._waiting: dict[_Key, MinerShares] = {}

    def add(self, sums: Iterable[MinerShares]) -> None:
        """Add to the sums."""
        for each in sums:
            key = each.worker, each.user_agent
            if key not in self._waiting and len(self._waiting) >= MOST_WAITING:
                key = "", ""
            self._waiting[key] = self._waiting.get(key, MinerShares(*key)).plus(each)

    def take(self) -> dict[str, Any] | None:
        """The fields of a `miners` line, or None if there is nothing to report; resets the sums."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return None
        new = sorted(waiting.keys() - self._listed - {("", "")}, key=lambda key: _business(waiting[key]))
        self._listed.update(new[: max(0, self._most - len(self._listed))])
        own = [waiting[key] for key in sorted(waiting.keys() & self._listed)]
        rest = [each for key, each in waiting.items() if key not in self._listed]
        fields: dict[str, Any] = {"miners": [_names(each) | fields_of(each) for each in own]}
        if rest:
            fields["others"] = {"miners": len(rest)} | fields_of(reduce(MinerShares.plus, rest))
        return fields

    def end_hour(self) -> None:
        """List the busiest miners again in the next hour."""
        self._listed.clear()


def _business(each: MinerShares) -> tuple[int, int, str, str]:
    return -each.hashes, -sum(each.rejected.values()), each.worker, each.user_agent


def _names(each: MinerShares) -> dict[str, Any]:
    return {"worker": each.worker, "user_agent": each.user_agent}


def fields_of(each: MinerShares) -> dict[str, Any]:
    """The sums as ledger fields, without zeros.

    `share_hashes` is the mean of a share's expected hashes, weighted by hashes; it replaces `hashes_squared`, whose
    numbers would be too large.
    """
    fields = {
        "shares": each.shares,
        "hashes": each.hashes,
        "share_hashes": each.hashes_squared / each.hashes if each.hashes else 0,
        "best": f"{each.best_hash:064x}" if each.best_hash < NO_HASH else "",
        "rejected": dict(each.rejected),
        "connects": each.connects,
        "connected_secs": round(each.connected_secs, 3),
        "exposure_secs": each.exposure_secs,
    }
    return {name: value for name, value in fields.items() if value}
