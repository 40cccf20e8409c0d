"""The choice of a kernel: timed once, stored per kind of machine, overridden by name or by wrong hits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solominer.engines.cpu.cache import machine_folder
from solominer.engines.cpu.machine import this_machine
from solominer.engines.cpu.reference import hash_word
from solominer.engines.cpu.variants import VARIANTS, VariantInfo, variant
from solominer.engines.private_folder import private_folder
from solominer.errors import EngineError
from solominer.records.tree import atomic_write

if TYPE_CHECKING:
    from solominer.engines.cpu.kernel import Kernel

CHOICE = "choice.json"
CANDIDATES = 3  # variants are listed in the order in which they are likely to be best
TIMED_SECS = 0.08
TIMED_ROUNDS = 3
PATIENCE_SECS = 5.0  # no further candidate is compiled after this: the first hash should not wait
LEAST_OF_HASHLIB = 2.0  # even the scalar kernel is four times as fast as a Python loop over hashlib


@dataclass(frozen=True, slots=True)
class Choice:
    """Results for a kind of machine: H/s by variant, and excluded variants with the reason."""

    rates_hps: dict[str, float] = field(default_factory=dict)
    benched: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> VariantInfo | None:
        """The fastest timed variant that this CPU can run and that is not excluded."""
        fit = [info for info in available_variants() if info.name in self.rates_hps and info.name not in self.benched]
        return max(fit, key=lambda info: self.rates_hps[info.name], default=None)


def available_variants() -> list[VariantInfo]:
    """The variants that this CPU can run, likely best first."""
    return [info for info in VARIANTS if info.needs <= this_machine().features]


def named_variant(name: str) -> VariantInfo:
    """The variant of that name. Raises ConfigError if there is none, EngineError if this CPU cannot run it."""
    info, fit = variant(name), available_variants()
    if info not in fit:
        known = ", ".join(each.name for each in fit)
        raise EngineError(f"kernel {name}: this CPU cannot run it", f"choose one of: {known}")
    return info


def choose_variant(
    load: Callable[[VariantInfo], Kernel], *, cache_dir: Path | None, report: Callable[[str], None]
) -> VariantInfo:
    """The stored choice, else the fastest of a few candidates, each timed for a fraction of a second.

    A candidate for which `load` raises EngineError is excluded. One that is barely faster than Python is replaced by
    another. Raises EngineError if no variant is left.
    """
    choice = remembered(cache_dir)
    if choice.best is not None:
        return choice.best
    fit = [info for info in available_variants() if info.usual and info.name not in choice.benched]
    if not fit:
        raise EngineError("every kernel gave wrong hits on this machine", "check its CPU, memory and cooling")
    kernels: list[Kernel] = []
    rates: dict[str, float] = {}
    least_hps = LEAST_OF_HASHLIB * hashlib_hps(TIMED_SECS)
    begun = time.monotonic()
    for info in fit:
        if len(kernels) == CANDIDATES:
            break
        if not kernels or time.monotonic() - begun < PATIENCE_SECS:
            try:
                kernel = load(info)
            except EngineError as error:
                report(f"{error.what}; not used")
                choice = replace(choice, benched={**choice.benched, info.name: error.what})
                continue
            rates[info.name] = hps = measure_hps(kernel, TIMED_SECS)
            if hps > least_hps:
                kernels.append(kernel)
            else:
                report(f"kernel {info.name} is too slow on this CPU ({hps / 1e6:.2f} MH/s); trying another")
    for _ in range(1, TIMED_ROUNDS):
        for kernel in kernels:
            rates[kernel.name] = max(rates[kernel.name], measure_hps(kernel, TIMED_SECS))
    choice = replace(choice, rates_hps=rates)
    best = choice.best
    if best is None:
        raise EngineError("no kernel could be timed on this machine", "run solominer bench to see why")
    speeds = ", ".join(f"{name} {hps / 1e6:.1f}" for name, hps in choice.rates_hps.items())
    report(f"kernel {best.name} chosen (MH/s: {speeds})")
    _remember(choice, cache_dir, report)
    return best


def measure_hps(kernel: Kernel, seconds: float) -> float:
    """A kernel's hashes per second of this thread's CPU time, in slices of about a millisecond.

    CPU time, so that the choice is right even on a busy machine.
    """
    midstates = np.arange(8 * kernel.midstates, dtype=np.uint32).reshape(-1, 8)
    tail = np.zeros(3, np.uint32)
    hits = np.zeros((1024, 2), np.uint32)
    nonces = kernel.lanes
    nonce = hashes = 0
    begun = now = time.thread_time()
    while now - begun < seconds:
        _, done = kernel.scan(midstates, tail, nonce, nonces, 0, hits)
        before, now = now, time.thread_time()
        nonce += done
        hashes += done * kernel.midstates
        if now - before < 0.0005:
            nonces *= 2
    return hashes / (now - begun)


def hashlib_hps(seconds: float) -> float:
    """hashlib's header hashes per second of this thread's CPU time."""
    head = bytes(76)
    hashes, begun = 0, time.thread_time()
    while (elapsed := time.thread_time() - begun) < seconds:
        for nonce in range(hashes, hashes + 1000):
            hash_word(head + nonce.to_bytes(4, "little"))
        hashes += 1000
    return hashes / elapsed


def bench_out(name: str, *, cache_dir: Path | None, reason: str = "wrong hits") -> None:
    """Never choose this variant on this kind of machine again, until its code or the compiler changes."""
    choice = remembered(cache_dir)
    _remember(replace(choice, benched={**choice.benched, name: reason}), cache_dir, lambda line: None)


def remembered(cache_dir: Path | None) -> Choice:
    """The stored results for this kind of machine; empty if the file is missing or damaged."""
    if cache_dir is None:
        return Choice()
    try:
        data = json.loads((machine_folder(cache_dir) / CHOICE).read_bytes())
        rates, benched = data["rates_hps"], data["benched"]
        return Choice(
            {str(name): float(hps) for name, hps in rates.items()},
            {str(name): str(reason) for name, reason in benched.items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Choice()


def _remember(choice: Choice, cache_dir: Path | None, report: Callable[[str], None]) -> None:
    if cache_dir is None:
        return
    path = machine_folder(cache_dir) / CHOICE
    text = json.dumps({"rates_hps": choice.rates_hps, "benched": choice.benched}, indent=1)
    try:
        private_folder(path.parent)
        atomic_write(path, text.encode())
    except OSError as error:
        report(f"cannot save the choice of a kernel: {error}")
