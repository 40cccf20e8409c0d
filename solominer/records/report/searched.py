"""The search in an hour's ledger: the plans that it followed, and the test results of its hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from math import log10
from typing import Any

MAX_PLANS = 8
MAX_WORKERS = 1_024
LISTED_WORKERS = 100

_LEAST_SHOWN = 1e-8


@dataclass(slots=True)
class WorkerTests:
    """One worker's tests in the windows that ended in this hour: smallest p-value per test, and tests with alarms."""

    shares: int = 0
    p_values: dict[str, float] = field(default_factory=dict)
    alarms: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Searched:
    """The sums of one part, from its `open`, `share` and `diagnostics` entries."""

    plans: dict[str, None] = field(default_factory=dict)
    windows: int = 0
    off_plan: int = 0
    miscounts: int = 0
    workers: dict[str, WorkerTests] = field(default_factory=dict)

    def plan(self, hash_hex: Any) -> None:
        """Note a plan's hash."""
        if isinstance(hash_hex, str) and (hash_hex in self.plans or len(self.plans) < MAX_PLANS):
            self.plans[hash_hex] = None

    def diagnostics(self, entry: Mapping[str, Any]) -> None:
        """Add the test results of one window."""
        self.plan(entry["plan"])
        self.windows += 1
        self.off_plan += int(entry["off_plan"])
        self.miscounts = max(self.miscounts, int(entry["miscounts"]))
        for results in entry["workers"]:
            label = str(results["worker"])
            if label not in self.workers and len(self.workers) >= MAX_WORKERS:
                continue
            worker = self.workers.setdefault(label, WorkerTests())
            worker.shares += int(results["tests"]["bits"][0])
            for test, (_, _, p_value, alarm) in results["tests"].items():
                worker.p_values[test] = min(float(p_value), worker.p_values.get(test, 1.0))
                if alarm:
                    worker.alarms[test] = None

    def summary(self) -> dict[str, Any]:
        """For the report, smallest p-values first; `min_p_value` is corrected for the number of tests."""
        p_values = [p for worker in self.workers.values() for p in worker.p_values.values()]
        workers = sorted(self.workers.items(), key=lambda item: min(item[1].p_values.values(), default=1.0))
        return {
            "plans": list(self.plans),
            "off_plan": self.off_plan,
            "miscounts": self.miscounts,
            "test_windows": self.windows,
            "min_p_value": min(1.0, min(p_values) * len(p_values)) if p_values else None,
            "alarms": sum(len(worker.alarms) for worker in self.workers.values()),
            "workers": [
                {"worker": label, "shares": tests.shares, "p_values": tests.p_values, "alarms": list(tests.alarms)}
                for label, tests in workers[:LISTED_WORKERS]
            ],
        }


def search_lines(search: Mapping[str, Any]) -> list[str]:
    """The search section of a report as plain text."""
    plans = ", ".join(hash_hex[:16] for hash_hex in search["plans"]) or "unknown"
    follows = "all shares match the plan"
    if search["off_plan"] or search["miscounts"]:
        follows = f"NOT FOLLOWED: {search['off_plan']} shares off the plan, {search['miscounts']} jobs miscounted"
    lines = [f"plan       {plans}: {follows}"]
    if search["min_p_value"] is not None:
        failing = [
            f"{worker['worker']} fails {', '.join(worker['alarms'])}"
            for worker in search["workers"]
            if worker["alarms"]
        ]
        outcome = f"FAILED: {'; '.join(failing)}" if failing else "all pass"
        lines.append(
            f"tests      of the shares' hashes: {outcome} (smallest p-value {search['min_p_value']:.2g}, corrected)"
        )
    return lines


def search_fragment(search: Mapping[str, Any]) -> str:
    """HTML for the page of an hour: each worker's tests, with p-values on a logarithmic scale."""
    if not search["workers"]:
        return ""
    tests = list(search["workers"][0]["p_values"])
    rows = "".join(_row(worker, tests) for worker in search["workers"])
    head = "".join(f"<th>{escape(test)}</th>" for test in tests)
    return (
        "<h2>Are the hashes uniform?</h2>"
        "<p>p-values of each worker's tests on a logarithmic scale, smaller to the left. One in a hundred is below 0.01"
        " by chance; the alarm threshold is far lower.</p>"
        f"<table><tr><th>worker</th><th>shares</th>{head}</tr>{rows}</table>"
    )


def _row(worker: Mapping[str, Any], tests: list[str]) -> str:
    cells = "".join(_cell(worker["p_values"].get(test), test in worker["alarms"]) for test in tests)
    return f"<tr><td>{escape(worker['worker'])}</td><td>{worker['shares']:,}</td>{cells}</tr>"


def _cell(p_value: float | None, alarm: bool) -> str:
    if p_value is None:
        return "<td></td>"
    place = 66 - 62 * min(1.0, log10(max(p_value, _LEAST_SHOWN)) / log10(_LEAST_SHOWN))
    mark = (
        '<svg class="small" viewBox="0 0 70 10"><line class="axis" x1="2" y1="5" x2="68" y2="5"/>'
        f'<circle class="{"b" if alarm else "a"}" cx="{place:.1f}" cy="5" r="3"/></svg>'
    )
    return f"<td>{mark}<br>{p_value:.2g}{' ALARM' if alarm else ''}</td>"
