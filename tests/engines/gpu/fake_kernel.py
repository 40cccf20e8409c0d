"""A card and its kernel without a card: launches take their time on a clock, hits come from a kernel of the CPU.

The variant says how it behaves: `fake` works, `fake-lies` reports hits that are none, `fake-blind` finds nothing,
`fake-hangs` has a launch that never ends, `fake-dies` crashes the process, `fake-lost` loses the device after ten
launches, `fake-memory` does not fit the card. Device 0 is a big card, device 1 a small one inside the CPU.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solominer.engines.cpu.reference import GENESIS, tail_words
from solominer.engines.gpu import temperature, worker
from solominer.engines.gpu.kernel import Batch, Device, TooManyHits
from solominer.errors import DeviceOff, EngineError

GROUP = 64
ROOM = 4096
BUS = "0000:65:00.0"
HASHES_PER_SEC = {0: 4e5, 1: 4e4}
VARIANTS = ("fake", "fake-spare")
CACHE_DIR = Path(__file__).parents[3] / ".cache"


if "FAKE_PCI" in os.environ:  # a folder with the sensors of the big card
    temperature.PCI = Path(os.environ["FAKE_PCI"])
    worker.TEMPERATURE_SECS = 0.02


def devices(*, cpus: bool = False) -> list[Device]:
    """Two cards, or what FAKE_DEVICES says went wrong."""
    match os.environ.get("FAKE_DEVICES"):
        case "package":
            raise EngineError("graphics cards need pyopencl", "pip install 'solominer[gpu]', or mine without --gpu")
        case "hang":
            time.sleep(3600)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
    cards = [
        Device(0, "Big card", "Fake 1.0", 24 << 30, "gpu", "opencl", BUS),
        Device(1, "Small card", "Fake 1.0", 1 << 30, "gpu", "opencl"),
    ]
    return [*cards, Device(2, "Fake CPU", "Fake 1.0", 8 << 30, "cpu", "opencl")] if cpus else cards


def _known(batch: Batch) -> NDArray[np.uint32]:
    """The hits of the hardest target: only the genesis block has any."""
    if batch.tail.tolist() != tail_words(GENESIS).tolist():
        return np.zeros((0, 2), np.uint32)
    nonce = int.from_bytes(GENESIS[76:], "little")
    return np.array([[index, nonce] for index in range(len(batch.midstates))], np.uint32)


def _scanned(batch: Batch) -> NDArray[np.uint32]:
    hits = np.zeros((ROOM + 1, 2), np.uint32)
    found = [hits[:0]]
    for start in batch.chunks.tolist():
        end = start + batch.chunk_nonces
        while start < end:
            count, done = _cpu_kernel().scan(batch.midstates, batch.tail, start, end - start, batch.target_word, hits)
            found.append(hits[:count].copy())
            start += done
    return np.concatenate(found)


@cache
def _cpu_kernel() -> Any:
    """Loaded only where there are hits to find: that takes half a second."""
    from solominer.engines.cpu.kernel import load_kernel

    return load_kernel("scalar", cache_dir=CACHE_DIR)


class FakeLaunch:
    """A launch that ends at a moment, by time.monotonic()."""

    def __init__(self, kernel: FakeKernel, batch: Batch, ends: float) -> None:
        self._kernel, self._batch, self._ends = kernel, batch, ends

    @property
    def done(self) -> bool:
        return time.monotonic() >= self._ends

    def hits(self) -> NDArray[np.uint32]:
        while not self.done:
            time.sleep(0.001)
        self._kernel.in_flight -= 1
        return self._kernel.search(self._batch)


class FakeKernel:
    """See `solominer.engines.gpu.kernel.GpuKernel`; the device works on one launch after the other."""

    group_nonces = GROUP

    def __init__(self, name: str, hps: float, midstates: int = 32) -> None:
        self.name = name
        self.midstates = midstates
        self.in_flight = self.launches = 0
        self._hps = hps
        self._free_at = 0.0

    def launch(self, batch: Batch) -> FakeLaunch:
        assert 1 <= len(batch.midstates) <= self.midstates
        assert batch.chunk_nonces % GROUP == 0
        assert int(batch.chunks.max()) + batch.chunk_nonces <= 1 << 32
        assert self.in_flight < 2
        self.in_flight += 1
        self.launches += 1
        if self.launches > 10:
            match self.name:
                case "fake-dies":
                    os.kill(os.getpid(), signal.SIGSEGV)
                case "fake-lost":
                    raise EngineError("the card failed: OpenCL status -5", "see the kernel's log (dmesg)")
                case "fake-hangs":
                    return FakeLaunch(self, batch, float("inf"))
        hashes = len(batch.midstates) * len(batch.chunks) * batch.chunk_nonces
        self._free_at = max(self._free_at, time.monotonic()) + hashes / self._hps
        return FakeLaunch(self, batch, self._free_at)

    def search(self, batch: Batch) -> NDArray[np.uint32]:
        if self.name == "fake-blind":
            return np.zeros((0, 2), np.uint32)
        everything = _scanned(batch) if batch.target_word else _known(batch)
        if len(everything) > ROOM:
            raise TooManyHits(f"{len(everything)} hits")
        if self.name == "fake-lies" and self.launches > 1:
            return np.array([[0, int(batch.chunks[0]) + 1]], np.uint32)
        return everything

    def close(self) -> None:
        pass


def load_kernel(
    device: Device, variant: str | None = None, *, cache_dir: Path | None, report: Callable[[str], None]
) -> FakeKernel:
    """The kernel that behaves as its name says; with None the first that is not benched."""
    if variant == "fake-memory":
        raise EngineError("the card failed: CL_OUT_OF_RESOURCES", "close other programs that use the card")
    benched = [path.name for path in cache_dir.glob("benched-*")] if cache_dir else []
    fit = [name for name in VARIANTS if f"benched-{device.index}-{name}" not in benched]
    if variant is None and not fit:
        raise DeviceOff(f"every kernel gave wrong hits on {device.name}", "check its cooling and its memory")
    report(f"compiling for {device.name}")
    return FakeKernel(variant or fit[0], HASHES_PER_SEC.get(device.index, 1e6))


def bench_out(device: Device, name: str, *, cache_dir: Path | None) -> None:
    """Remember that a kernel is wrong on this device."""
    if cache_dir is not None:
        (cache_dir / f"benched-{device.index}-{name}").touch()


def remembered(device: Device, *, cache_dir: Path | None) -> str:
    """The kernel chosen for the device."""
    return "fake" if device.index == 0 else ""
