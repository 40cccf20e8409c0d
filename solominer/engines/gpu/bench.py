"""`solominer bench --gpu`: every kernel of every graphics card, timed in turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from solominer.engines.gpu.backends import variant_names
from solominer.engines.gpu.choose import measure_hps
from solominer.engines.gpu.kernel import Device, GpuKernel, devices, load_kernel, remembered
from solominer.errors import EngineError

if TYPE_CHECKING:
    from rich.console import Console

ROUND_SECS = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """A kernel's hashes per second in each round; `used` by `solominer run` on this card."""

    kernel: str
    used: bool
    rounds_hps: list[float]

    @property
    def hps(self) -> float:
        """The median of the rounds."""
        return median(self.rounds_hps)


@dataclass(frozen=True, slots=True)
class CardResult:
    """All kernels of one card, the fastest first."""

    index: int
    name: str
    driver: str
    rows: list[Row]


def run(
    *,
    cpus: bool,
    cache_dir: Path,
    rounds: int,
    names: Sequence[str] | None,
    report: Callable[[str], None],
) -> list[CardResult]:
    """Time all kernels, or those named, on all cards. Raises EngineError if there is no card or no such kernel."""
    cards = devices(cpus=cpus)
    if not cards:
        raise EngineError("no GPU with a driver found", "see docs/gpu.md; `solominer bench` times the CPU's kernels")
    return [_time(card, names, cache_dir, rounds, report) for card in cards]


def _time(
    card: Device,
    names: Sequence[str] | None,
    cache_dir: Path,
    rounds: int,
    report: Callable[[str], None],
) -> CardResult:
    rates: dict[str, list[float]] = {}
    kernels: list[GpuKernel] = []
    for name in names or variant_names(card):
        report(f"{card.name}: compiling {name} ...")
        try:
            kernels.append(load_kernel(card, name, cache_dir=cache_dir))
        except EngineError as error:
            if names:
                raise
            report(f"{card.name}: {error.what}")
    for _ in range(rounds):
        for kernel in kernels:
            rates.setdefault(kernel.name, []).append(measure_hps(kernel, ROUND_SECS))
    for kernel in kernels:
        kernel.close()
    used = remembered(card, cache_dir=cache_dir)
    rows = [Row(name, name == used, hps) for name, hps in rates.items()]
    return CardResult(card.index, card.name, card.driver, sorted(rows, key=lambda row: -row.hps))


def to_json(results: list[CardResult]) -> str:
    """The results, with medians, as JSON."""
    data = [asdict(result) for result in results]
    for result, item in zip(results, data, strict=True):
        for row, inner in zip(result.rows, item["rows"], strict=True):
            inner["median_hps"] = row.hps
    return json.dumps(data, indent=1)


def render(results: list[CardResult], console: Console) -> None:
    """The results as a table for each card."""
    from rich.table import Table

    for result in results:
        table = Table(title=f"GPU {result.index}: {result.name}, {result.driver}")
        table.add_column("kernel")
        for column in ("MH/s", "lowest", "highest", "of best"):
            table.add_column(column, justify="right")
        for row in result.rows:
            rates = (row.hps, min(row.rounds_hps), max(row.rounds_hps))
            table.add_row(
                f"{row.kernel} *" if row.used else row.kernel,
                *(f"{hps / 1e6:.2f}" for hps in rates),
                f"{row.hps / result.rows[0].hps:.3f}",
            )
        console.print(table)
    console.print("Medians of all rounds, all kernels in turn. *: used by `solominer run`.")
