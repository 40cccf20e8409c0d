"""The miners in an hour's ledger: sums and rates by name and client, and tests of whether their best hashes fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from solominer.chain.fields import Field
from solominer.chain.target import difficulty
from solominer.insight.best_shares import BestShares
from solominer.insight.distributions import gamma_quantile
from solominer.insight.estimate import Estimate, from_share_sums
from solominer.insight.mismatch import check_claim
from solominer.insight.odds import hashes_at_difficulty
from solominer.records.report.formats import interval, mismatch
from solominer.work.miners import NO_HASH, MinerShares

MAX_MINERS = 1000
LISTED = 100
_MOST = 2**62
_MOST_REASONS = 64

_Key = tuple[str, str]


@dataclass(slots=True)
class _Miner:
    """One name with one client. `whole` counts the shares recorded individually in the ledger."""

    sums: MinerShares
    tests: BestShares = field(default_factory=BestShares)
    whole: int = 0
    whole_hashes: float = 0.0

    def plus(self, other: _Miner) -> _Miner:
        return _Miner(
            self.sums.plus(other.sums),
            self.tests.plus(other.tests),
            self.whole + other.whole,
            self.whole_hashes + other.whole_hashes,
        )


class HourMiners:
    """The sums of one part, from its `miners` and `share` entries."""

    def __init__(self) -> None:
        self.lines = 0
        self._miners: dict[_Key, _Miner] = {}
        self._others = _Miner(MinerShares("", ""))
        self._most_others = 0
        self._whole: dict[_Key, tuple[int, float]] = {}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add a `miners` line. Raises BadValue for a malformed one, without adding any of it."""
        line = Field(entry, "miners")
        rows = [_sums(row, row["worker"].text(), row["user_agent"].text()) for row in line["miners"].items(MAX_MINERS)]
        others = line.get("others")
        if others is not None:
            self._most_others = max(self._most_others, others["miners"].integer(1, _MOST))
            self._others.sums = self._others.sums.plus(_sums(others, "", ""))
        self.lines += 1
        for row in rows:
            key = row.worker, row.user_agent
            if key not in self._miners and len(self._miners) >= MAX_MINERS:
                self._others.sums = self._others.sums.plus(row)
                continue
            miner = self._miners.setdefault(key, _Miner(MinerShares(*key)))
            miner.sums = miner.sums.plus(row)
            if row.shares and row.best_hash < NO_HASH:
                miner.tests.add(row.best_hash, row.shares, row.hashes, row.hashes_squared)

    def share(self, worker: str, kernel: str, hashes: float) -> None:
        """A share recorded individually in the ledger."""
        key = worker, kernel
        if key in self._whole or len(self._whole) < MAX_MINERS:
            count, total = self._whole.get(key, (0, 0.0))
            self._whole[key] = count + 1, total + hashes

    def summary(self, uptime_secs: float, share_hashes: float, server_ended: int) -> dict[str, Any] | None:
        """For the report; None without miners. `share_hashes` is the expected number per individually recorded share, 0
        if some of those are missing. `server_ended` is how often the server exited without its last second of sums.
        """
        if not self.lines:
            return None
        miners = [
            replace(miner, whole=count, whole_hashes=hashes)
            for key, miner in self._miners.items()
            for count, hashes in [self._whole.get(key, (0, 0.0))]
        ]
        everything = reduce(MinerShares.plus, (miner.sums for miner in miners), self._others.sums)

        def row(group: list[_Miner]) -> dict[str, Any]:
            return _row(group, uptime_secs, share_hashes)

        names, agents = _groups(miners, lambda sums: sums.worker), _groups(miners, lambda sums: sums.user_agent)
        return {
            "seen": len(miners) + self._most_others,
            "server_ended": server_ended,
            **_sums_row(everything),
            "workers": [
                {"worker": name, "user_agents": [each.sums.user_agent for each in group], **row(group)}
                for name, group in names[:LISTED]
            ],
            "user_agents": [
                {"user_agent": name, "workers": len(group), **row(group)} for name, group in agents[:LISTED]
            ],
            "others": {"miners": self._most_others, **_sums_row(self._others.sums)} if self._most_others else None,
        }


def _sums(row: Field, worker: str, user_agent: str) -> MinerShares:
    """The sums in a line, which omits zeros (`ledger.miner_sums`). Raises BadValue."""

    def whole(name: str) -> int:
        value = row.get(name)
        return 0 if value is None else value.integer(0, _MOST)

    def number(name: str) -> float:
        value = row.get(name)
        return 0.0 if value is None else value.number(0.0, math.inf)

    best, reasons = row.get("best"), row.get("rejected")
    rejected = {} if reasons is None else {key: value.integer(0, _MOST) for key, value in reasons.members()}
    if len(rejected) > _MOST_REASONS:
        raise row.refused(f"a miner with at most {_MOST_REASONS} reasons for rejects")
    return MinerShares(
        worker,
        user_agent,
        whole("shares"),
        whole("hashes"),
        number("share_hashes") * whole("hashes"),
        NO_HASH if best is None else best.hex_number(64, 64),
        rejected,
        whole("connects"),
        number("connected_secs"),
        number("exposure_secs"),
    )


def _groups(miners: Iterable[_Miner], name: Any) -> list[tuple[str, list[_Miner]]]:
    """The miners by name, those with the most work first."""
    groups: dict[str, list[_Miner]] = {}
    for miner in miners:
        groups.setdefault(name(miner.sums), []).append(miner)
    return sorted(groups.items(), key=lambda item: (-sum(miner.sums.hashes for miner in item[1]), item[0]))


def _sums_row(sums: MinerShares) -> dict[str, Any]:
    best = sums.best_hash
    return {
        "shares": sums.shares,
        "hashes": float(sums.hashes),
        "best": f"{best:064x}" if best < NO_HASH else None,
        "best_difficulty": difficulty(max(best, 1)) if best < NO_HASH else None,
        "rejected": dict(sorted(sums.rejected.items())),
        "connects": sums.connects,
        "connected_secs": round(sums.connected_secs, 3),
    }


def _row(group: list[_Miner], uptime_secs: float, share_hashes: float) -> dict[str, Any]:
    total = reduce(_Miner.plus, group)
    findings = total.tests.findings()
    claim = None
    if share_hashes and total.sums.shares:
        per_share = total.whole_hashes / total.whole if total.whole else share_hashes
        claim = check_claim(total.sums.hashes, total.whole, per_share)
    rate = _hashes(group, total.sums).scaled(1 / uptime_secs) if uptime_secs > 0 else None
    return {
        **_sums_row(total.sums),
        "rate_hps": None if rate is None else interval(rate),
        "whole_shares": total.whole,
        "mismatch": None if claim is None else mismatch(claim),
        "p_values": {finding.test: finding.p_value for finding in findings},
        "alarms": [finding.test for finding in findings if finding.alarm],
    }


def _hashes(group: list[_Miner], total: MinerShares) -> Estimate:
    """The miners' hashes: Gamma(n + 1/2) of their shares; without shares, bounded by the time without one."""
    if total.shares:
        return from_share_sums(float(total.hashes), total.hashes_squared)
    high = 0.0
    for sums in (miner.sums for miner in group):
        if sums.exposure_secs > 0:
            rate_hps = hashes_at_difficulty(gamma_quantile(0.5, 0.975)) / sums.exposure_secs
            high += rate_hps * sums.connected_secs
        else:
            high = math.inf
    return Estimate(0.0, 0.0, high)


def compared(section: Mapping[str, Any] | None) -> dict[str, Any]:
    """The sums of a report's `miners` section that are compared with the ledger: in all, by name, and by client."""
    if section is None:
        return {}
    rows = {
        "all miners": section,
        **{f"miner {row['worker']}": row for row in section["workers"]},
        **{f"client {row['user_agent']}": row for row in section["user_agents"]},
    }
    sums = ("shares", "hashes", "best", "rejected", "connects")
    return {f"{name} of {who}": row[name] for who, row in rows.items() for name in sums}
