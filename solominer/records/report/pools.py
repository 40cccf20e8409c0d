"""What pools answered in an hour of mode `pool`, from the lines `pool_answer`, `pool_block` and `pool_lost`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

OUTCOMES = ("accepted", "stale", "rejected")
MOST_POOLS = 64

_KINDS = {"pool_block": "blocks", "pool_lost": "lost"}


class HourPools:
    """The sums of each pool, by its URL."""

    def __init__(self) -> None:
        self._pools: dict[str, Counter[str]] = {}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one entry."""
        url = str(entry["pool"])
        if url not in self._pools and len(self._pools) >= MOST_POOLS:
            return
        what = _KINDS.get(entry["kind"]) or str(entry["outcome"])
        self._pools.setdefault(url, Counter())[what] += 1

    def summary(self) -> list[dict[str, Any]] | None:
        """The report's section; None in an hour without pools."""
        names = (*OUTCOMES, *_KINDS.values())
        return [{"pool": url} | {name: sums[name] for name in names} for url, sums in self._pools.items()] or None


def pool_lines(section: list[Mapping[str, Any]] | None) -> Iterator[str]:
    """The pools' section of a report as plain text."""
    for pool in section or ():
        answers = ", ".join(f"{pool[name]} {name}" for name in OUTCOMES)
        lost = f", lost {pool['lost']} times" if pool["lost"] else ""
        yield f"pool       {pool['pool']}: shares {answers}; {pool['blocks']} blocks, which are the pool's{lost}"
