"""`solominer bench`: times all variants in turn, with hashlib and NumPy for comparison; prints a table or plots.

The core's actual clock is measured with chains of instructions whose latency in cycles is known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from rich.console import Console
from rich.table import Table

from solominer.engines.cpu.choose import (
    LEAST_OF_HASHLIB,
    available_variants,
    choose_variant,
    hashlib_hps,
    measure_hps,
    named_variant,
)
from solominer.engines.cpu.kernel import Kernel, load_kernel
from solominer.engines.cpu.machine import this_machine
from solominer.engines.sha256.sha256d import IV, LAST_ROUND, K, compress, header_sums, one_round, schedule, top_word
from solominer.engines.sha256.words import Arrays, Integers, Word
from solominer.errors import EngineError

ROUNDS = 10
ROUND_SECS = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel's hashes per second of CPU time in each round."""

    name: str
    about: str
    rounds_hps: tuple[float, ...]

    @property
    def hps(self) -> float:
        """The median."""
        return median(self.rounds_hps)


@dataclass(frozen=True, slots=True)
class Result:
    """A whole benchmark on one thread.

    `clock_hz`: the median of the core's own clock between the rounds, in cycles per second.
    """

    cpu: str
    tools: str
    clock_hz: float
    round_secs: float
    chosen: str
    rows: tuple[Row, ...]

    @property
    def best(self) -> Row:
        return max(self.rows, key=lambda row: row.hps)

    def too_slow(self, row: Row) -> bool:
        """Whether a kernel is not faster than the scalar one, or barely faster than a Python loop."""
        hps = {each.name: each.hps for each in self.rows}
        if row.name in ("scalar", "hashlib", "numpy"):
            return False
        return row.hps <= max(hps.get("scalar", 0.0), LEAST_OF_HASHLIB * hps.get("hashlib", 0.0))


def numpy_top_words(midstate: list[int], tail: list[int], nonces: np.ndarray[Any, np.dtype[np.uint32]]) -> Any:
    """The top words of the hash values of many nonces, computed with NumPy."""
    w = Arrays()
    state: list[Word] = list(midstate)
    for word_sum in header_sums(w, tail, nonces):
        state = one_round(w, state, word_sum)
    digest = [w.add(new, old) for new, old in zip(state, midstate, strict=True)]
    state = list(IV)
    for t, word in zip(range(LAST_ROUND + 1), schedule(w, [*digest, 0x80000000, *[0] * 6, 256]), strict=False):
        state = one_round(w, state, K[t], word)
    return top_word(w, state)


def numpy_hps(seconds: float) -> float:
    """NumPy's hashes per second of this thread's CPU time, measured for about `seconds`."""
    midstate = compress(Integers(), IV, list(range(16)))
    hashes, begun = 0, time.thread_time()
    while (elapsed := time.thread_time() - begun) < seconds:
        numpy_top_words(midstate, [1, 2, 3], np.arange(hashes, hashes + 4096, dtype=np.uint32))
        hashes += 4096
    return hashes / elapsed


def run(
    *,
    cache_dir: Path | None,
    rounds: int = ROUNDS,
    round_secs: float = ROUND_SECS,
    names: list[str] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Result:
    """Time all variants that this CPU can run (or those named), in turn, `rounds` times, on one thread.

    Raises ConfigError for an unknown name, EngineError for a variant that this CPU cannot run.
    """
    fit = available_variants() if names is None else [named_variant(name) for name in names]
    kernels = {info.name: load_kernel(info.name, cache_dir=cache_dir, report=report) for info in fit}

    def timed(kernel: Kernel) -> Callable[[float], float]:
        return lambda seconds: measure_hps(kernel, seconds)

    contenders = {name: timed(kernel) for name, kernel in kernels.items()}
    contenders |= {"hashlib": hashlib_hps, "numpy": numpy_hps}
    abouts = {info.name: info.about for info in fit} | {
        "hashlib": "Python's own SHA-256, whole headers",
        "numpy": "the same code on NumPy arrays",
    }
    clocks: list[float] = []
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}")
        for name, measure in contenders.items():
            rates[name].append(measure(round_secs))
            clocks.append(core_clock_hz())
    chosen = choose_variant(
        lambda info: kernels.get(info.name) or load_kernel(info.name, cache_dir=cache_dir, report=report),
        cache_dir=cache_dir,
        report=report,
    )
    machine = this_machine()
    rows = tuple(Row(name, abouts[name], tuple(values)) for name, values in rates.items())
    return Result(machine.cpu, machine.tools, median(clocks), round_secs, chosen.name, rows)


def to_json(result: Result) -> str:
    """The result, with medians, as JSON."""
    data = asdict(result)
    for row, item in zip(result.rows, data["rows"], strict=True):
        item["median_hps"] = row.hps
        item["cycles_per_hash"] = result.clock_hz / row.hps
        item["too_slow"] = result.too_slow(row)
    return json.dumps(data, indent=1)


def render(result: Result, console: Console) -> None:
    """The result as a table, fastest first."""
    best = result.best.hps
    table = Table(title=f"One thread of {result.cpu} at {result.clock_hz / 1e9:.2f} GHz, {result.tools}")
    table.add_column("kernel")
    for column in ("MH/s", "lowest", "highest", "cycles/hash", "of best"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in sorted(result.rows, key=lambda row: -row.hps):
        low, high = min(row.rounds_hps), max(row.rounds_hps)
        table.add_row(
            f"[bold]{row.name}[/bold] *" if row.name == result.chosen else row.name,
            *(f"{value / 1e6:.2f}" for value in (row.hps, low, high)),
            f"{result.clock_hz / row.hps:.1f}",
            f"{row.hps / best:.3f}",
            f"[bold red]too slow for this CPU[/]: {row.about}" if result.too_slow(row) else row.about,
        )
    console.print(table)
    console.print(f"Medians of {len(result.best.rounds_hps)} rounds of {result.round_secs:g} s, all kernels in turn.")
    console.print("*: used by `solominer run`. Cycles are core clock cycles, at the clock rate in the title.")
    if any(result.too_slow(row) for row in result.rows):
        console.print(
            "Too slow: not faster than `scalar`. Please report it, with the output of `solominer bench --json`."
        )


def plot(result: Result, path: Path) -> None:
    """Plot the result to an .svg or .png. Raises EngineError for another suffix, or without matplotlib."""
    if path.suffix not in (".svg", ".png"):
        raise EngineError(f"cannot plot to {path}", "use a file name ending in .svg or .png")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise EngineError("matplotlib is not installed", "pip install 'solominer[plot]'") from None
    rows = sorted(result.rows, key=lambda row: row.hps)
    figure = Figure(figsize=(8, 1 + 0.32 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.barh([row.name for row in rows], [row.hps / 1e6 for row in rows], color="#d8973c", height=0.7)
    for place, row in enumerate(rows):
        axes.plot([hps / 1e6 for hps in row.rounds_hps], [place] * len(row.rounds_hps), "|", color="#333333")
        axes.annotate(f" {row.hps / 1e6:.1f}", (max(row.rounds_hps) / 1e6, place), va="center", fontsize=8)
    axes.set_xlabel(f"MH/s on one thread, {result.cpu} at {result.clock_hz / 1e9:.2f} GHz (marks: single rounds)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.08)
    try:
        figure.savefig(path)
    except OSError as error:
        raise EngineError(f"cannot write {path}: {error.strerror}", "choose another path") from None


_LINKS = 64
_CYCLES_OF_SUM_LINK = 2  # an addition and an exclusive or of registers: one cycle each
_CYCLES_OF_PRODUCT_LINK = 4  # a 32-bit multiplication: three cycles on x86; an exclusive or: one

_in_loop: Callable[[Callable[..., Any]], Any] = intrinsic(prefer_literal=True)


@_in_loop
def _sums(typingctx: Any, value: Any, other: Any) -> Any:
    """`_LINKS` pairs of an addition and an exclusive or, each dependent on the one before.

    The operand is an argument: Intel's cores since Golden Cove execute additions of constants in no time (they are
    folded when registers are renamed), and a compiler could combine operations on constants.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        value, other = args
        for _ in range(_LINKS):
            value = builder.xor(builder.add(value, other), other)
        return value

    return types.uint32(types.uint32, types.uint32), emit


@_in_loop
def _products(typingctx: Any, value: Any, other: Any) -> Any:
    """`_LINKS` pairs of a squaring and an exclusive or, each dependent on the one before."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        value, other = args
        for _ in range(_LINKS):
            value = builder.xor(builder.mul(value, value), other)
        return value

    return types.uint32(types.uint32, types.uint32), emit


_SIGNATURE = types.uint32(types.uint32, types.uint32, types.int64)


@numba.njit(_SIGNATURE)
def sum_chain(value, other, turns):  # type: ignore[no-untyped-def]
    """`turns` times `_sums`."""
    for _ in range(turns):
        value = _sums(value, other)
    return value


@numba.njit(_SIGNATURE)
def product_chain(value, other, turns):  # type: ignore[no-untyped-def]
    """`turns` times `_products`."""
    for _ in range(turns):
        value = _products(value, other)
    return value


def chain_clocks_hz() -> tuple[float, float]:
    """The core's cycles per second by additions and by multiplications, measured in about two milliseconds.

    They agree on a core that optimizes neither chain away; otherwise the lower one is right.
    """
    return _rate(sum_chain, _CYCLES_OF_SUM_LINK, 4000), _rate(product_chain, _CYCLES_OF_PRODUCT_LINK, 2000)


def core_clock_hz() -> float:
    """The core's current clock in cycles per second; not that of the time stamp counter."""
    return min(chain_clocks_hz())


def _rate(chain: Any, cycles: int, turns: int) -> float:
    fastest = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        chain(1, 0x9E3779B9, turns)
        fastest = min(fastest, time.perf_counter() - begun)
    return turns * _LINKS * cycles / fastest
