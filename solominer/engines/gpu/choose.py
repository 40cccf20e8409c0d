"""The choice of a card's kernel: timed once, stored by the device's name and its driver's version."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from solominer.engines.gpu.device import Device
from solominer.engines.private_folder import private_folder
from solominer.errors import EngineError
from solominer.records.tree import atomic_write

if TYPE_CHECKING:
    from solominer.engines.gpu.kernel import GpuKernel

CHOICE, BENCHED = "choice.json", "benched.json"
TIMED_SECS = 0.03
TIMED_ROUNDS = 3
PATIENCE_SECS = 20.0  # no further candidate is compiled after this: the first hash should not wait
_SOURCES = ("cuda", "nvrtc", "opencl", "source", "source_words", "variants")
FIRST_LOCAL = "128"  # every kind is tried with groups of this size; the other sizes for the best kind alone


def device_folder(cache_dir: Path, device: Device) -> Path:
    """The folder of a device's compiled kernels and its choice."""
    return cache_dir / "kernels" / f"gpu-{device.key}"


def load_fastest(
    device: Device,
    names: list[str],
    load: Callable[[str], GpuKernel],
    *,
    cache_dir: Path | None,
    report: Callable[[str], None],
) -> GpuKernel:
    """The remembered kernel, else the fastest of those named. One for which `load` raises EngineError is passed over.

    Raises EngineError if none is left.
    """
    chosen = remembered(device, cache_dir=cache_dir)
    if chosen in names:
        try:
            return load(chosen)
        except EngineError as error:  # it worked when it was chosen
            report(f"{device.name}: {error.what}; choosing another")
            names = [name for name in names if name != chosen]
    report(f"{device.name}: timing kernels ...")
    rates = _time_all(device, names, load, report)
    if not rates:
        raise EngineError(f"no kernel works on {device.name}", "update its driver, or mine without it (--gpu none)")
    best = max(rates, key=lambda name: rates[name])
    fastest = sorted(rates, key=lambda name: -rates[name])[:3]
    speeds = ", ".join(f"{name} {rates[name] / 1e6:.1f}" for name in fastest)
    report(f"{device.name}: kernel {best} chosen (MH/s: {speeds})")
    try:
        _keep(device, cache_dir, CHOICE, rates_hps=rates)
    except OSError as error:
        report(f"cannot save the choice of a kernel: {error}")
    return load(best)


def _time_all(
    device: Device, names: list[str], load: Callable[[str], GpuKernel], report: Callable[[str], None]
) -> dict[str, float]:
    rates: dict[str, float] = {}
    begun = time.monotonic()

    def try_out(name: str) -> None:
        if name in rates or (rates and time.monotonic() - begun > PATIENCE_SECS):
            return
        try:
            kernel = load(name)
        except EngineError as error:
            report(f"{device.name}: {error.what}; not used")
            return
        try:
            rates[name] = max(measure_hps(kernel, TIMED_SECS) for _ in range(TIMED_ROUNDS))
        except EngineError as error:
            report(f"{device.name}: {error.what}; not used")
        finally:
            kernel.close()

    for name in names:
        if name.endswith(f"-{FIRST_LOCAL}"):
            try_out(name)
    if rates:
        kind = max(rates, key=lambda name: rates[name]).removesuffix(FIRST_LOCAL)
        for name in names:
            if name.startswith(kind):
                try_out(name)
    return rates


def measure_hps(kernel: GpuKernel, seconds: float) -> float:
    """A kernel's hashes per second of wall time, by one launch that lasts about `seconds`."""
    from solominer.engines.gpu.kernel import Batch

    midstates = np.arange(8 * kernel.midstates, dtype=np.uint32).reshape(-1, 8)
    tail, start, nonces = np.zeros(3, np.uint32), np.zeros(1, np.uint32), kernel.group_nonces
    while True:
        begun = time.perf_counter()
        launch = kernel.launch(Batch(midstates, tail, start, nonces, 0))
        while not launch.done:
            time.sleep(0.0002)
        taken = time.perf_counter() - begun
        launch.hits()
        if taken >= seconds or nonces * 2 > 1 << 31:
            return nonces * kernel.midstates / taken
        nonces *= 2 if taken > seconds / 4 else 4


def remembered(device: Device, *, cache_dir: Path | None) -> str:
    """The kernel that was chosen for such a device; empty if none was."""
    try:
        rates = {str(name): float(hps) for name, hps in _kept(device, cache_dir, CHOICE)["rates_hps"].items()}
        return max(rates, key=lambda name: rates[name])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def benched(device: Device, cache_dir: Path | None) -> frozenset[str]:
    """Kernels that gave wrong hits on such a device; not chosen there until its driver or the kernels change."""
    try:
        return frozenset(map(str, _kept(device, cache_dir, BENCHED)["names"]))
    except (KeyError, TypeError):
        return frozenset()


def bench_out(device: Device, name: str, *, cache_dir: Path | None) -> None:
    """Never choose this kernel on such a device again. Raises OSError if that cannot be stored."""
    _keep(device, cache_dir, BENCHED, names=sorted(benched(device, cache_dir) | {name}))


def _source_digest() -> str:
    """A digest of what the rates depend on besides the device: the kernels' source and the description of the hash."""
    here = Path(__file__).parent
    paths = [*(here / f"{name}.py" for name in _SOURCES), *sorted((here.parent / "sha256").glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _kept(device: Device, cache_dir: Path | None, name: str) -> dict[str, Any]:
    """A file about a device; empty if it is missing, damaged or of other code."""
    if cache_dir is None:
        return {}
    try:
        data: dict[str, Any] = json.loads((device_folder(cache_dir, device) / name).read_bytes())
        return data if data["source"] == _source_digest() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _keep(device: Device, cache_dir: Path | None, name: str, **values: object) -> None:
    """Write such a file. Raises OSError."""
    if cache_dir is None:
        return
    folder = device_folder(cache_dir, device)
    private_folder(folder)
    atomic_write(folder / name, json.dumps({"source": _source_digest(), **values}, indent=1).encode())
