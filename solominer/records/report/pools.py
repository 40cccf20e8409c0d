"""What was done at pools in an hour, from the counters, and what they answered: the lines `pool_…`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from solominer.records.report.formats import hashes_text

OUTCOMES = ("accepted", "stale", "rejected")
MOST_POOLS = 64

_KINDS = {"pool_block": "blocks", "pool_lost": "lost"}


class HourPools:
    """The sums of each pool, by its URL. `expected_blocks` are those of all hashes done at pools."""

    def __init__(self) -> None:
        self.expected_blocks = 0.0
        self._pools: dict[str, Counter[str]] = {}
        self._credited: dict[str, float] = {}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one entry."""
        if (sums := self._of(str(entry["pool"]))) is not None:
            sums[_KINDS.get(entry["kind"]) or str(entry["outcome"])] += 1

    def mined(self, url: str, counted: int, credited: float, expected_blocks: float) -> None:
        """So many hashes were done for its jobs."""
        if (sums := self._of(url)) is not None:
            sums["counted"] += counted
            self._credited[url] = self._credited.get(url, 0.0) + credited
        self.expected_blocks += expected_blocks

    def summary(self) -> list[dict[str, Any]] | None:
        """The report's section; None in an hour without pools."""
        names = (*OUTCOMES, *_KINDS.values(), "counted")
        return [
            {"pool": url} | {name: sums[name] for name in names} | {"credited": self._credited.get(url, 0.0)}
            for url, sums in self._pools.items()
        ] or None

    def _of(self, url: str) -> Counter[str] | None:
        if url not in self._pools and len(self._pools) >= MOST_POOLS:
            return None
        return self._pools.setdefault(url, Counter())


def pool_lines(section: list[Mapping[str, Any]] | None) -> Iterator[str]:
    """The pools' section of a report as plain text."""
    for pool in section or ():
        answers = ", ".join(f"{pool[name]} {name}" for name in OUTCOMES)
        lost = f", lost {pool['lost']} times" if pool["lost"] else ""
        yield f"pool       {pool['pool']}: shares {answers}; {pool['blocks']} blocks, which are the pool's{lost}"
        yield f"           {hashes_text(pool['counted'], pool['credited'])} for it"
