"""The interface of a card's kernel: `GpuKernel.launch` and its contract, `devices` and `load_kernel`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solominer.engines.cpu.reference import GENESIS, midstate, tail_words
from solominer.engines.gpu import backends, choose
from solominer.engines.gpu.backends import devices
from solominer.engines.gpu.choose import bench_out, benched, remembered
from solominer.engines.gpu.device import MAX_CHUNKS, SLOTS, Arguments, Device, Program
from solominer.engines.gpu.source import ROOM, Source
from solominer.engines.gpu.variants import VariantInfo
from solominer.errors import DeviceOff, EngineError

__all__ = [
    "Batch",
    "Device",
    "GpuKernel",
    "Launch",
    "TooManyHits",
    "bench_out",
    "devices",
    "load_kernel",
    "remembered",
]

POLL_SECS = 0.001


class TooManyHits(Exception):
    """A launch found more hits than it can report: split the batch, or lower the target."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The work of one launch: all nonces of all chunks with every midstate.

    `midstates`: uint32, shape (m, 8), one per rolled version. `tail`: uint32, shape (3,), header bytes 64..75 as
    big-endian reads. `chunks`: uint32, shape (n,), the first nonce of each chunk of `chunk_nonces`; n <= 65535. A hit
    is a header whose hash value's top 32 bits <= `target_word`. See `engines.cpu.kernel.Kernel.scan`.
    """

    midstates: NDArray[np.uint32]
    tail: NDArray[np.uint32]
    chunks: NDArray[np.uint32]
    chunk_nonces: int
    target_word: int


class Launch:
    """A launch in flight. It keeps its place on the card until `hits` has been called."""

    def __init__(self, kernel: GpuKernel, slot: int) -> None:
        self._kernel = kernel
        self._slot = slot
        self._outcome: NDArray[np.uint32] | Exception | None = None

    @property
    def done(self) -> bool:
        """Whether `hits` returns, or raises, without waiting. Never blocks."""
        try:
            return self._outcome is not None or self._kernel.program.finished(self._slot)
        except EngineError:
            return True

    def hits(self) -> NDArray[np.uint32]:
        """The hits, shape (k, 2): midstate index and nonce, in order of nonce, then midstate.

        Waits for the launch, asleep. Raises TooManyHits, or EngineError if the device failed.
        """
        if self._outcome is None:
            try:
                while not self._kernel.program.finished(self._slot):
                    time.sleep(POLL_SECS)
                self._outcome = _ordered(self._kernel.program.result(self._slot))
            except (EngineError, TooManyHits) as error:
                self._outcome = error
            self._kernel.free.append(self._slot)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def _ordered(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The hits from the words that a launch wrote."""
    found = int(words[0])
    if found > ROOM:
        raise TooManyHits(f"{found} hits in one launch, which can report {ROOM}")
    hits = words[1 : 1 + 2 * found].reshape(-1, 2)
    return hits[np.lexsort((hits[:, 0], hits[:, 1]))]


class GpuKernel:
    """A kernel on its device, for one thread. Up to two launches may be in flight.

    `midstates`: the most of a batch; it runs at full speed with that many. `group_nonces`: a batch's `chunk_nonces` is
    a multiple of it.
    """

    def __init__(self, info: VariantInfo, source: Source, program: Program, name: str) -> None:
        self.name = name
        self.midstates = info.midstates
        self.group_nonces = info.local
        self.program = program
        self.free = list(range(SLOTS))
        self._source = source
        self._prepared_for: tuple[bytes, bytes] | None = None
        self._words: tuple[NDArray[np.uint32], NDArray[np.uint32]] = source.prepare(
            np.zeros((1, 8), np.uint32), np.zeros(3, np.uint32)
        )

    def launch(self, batch: Batch) -> Launch:
        """Enqueue a batch and return at once.

        Raises EngineError if the device fails, ValueError for a batch outside its bounds or a third launch in flight.
        """
        self._check(batch)
        # A batch ends long before its midstates are searched: the next one usually has the same.
        now = batch.midstates.tobytes(), batch.tail.tobytes()
        if now != self._prepared_for:
            self._words = self._source.prepare(batch.midstates, batch.tail)
            self._prepared_for = now
        chunks = np.array(batch.chunks, np.uint32)  # a copy: the caller may change its own
        slot = self.free.pop()
        try:
            self.program.start(slot, Arguments(*self._words, chunks, batch.chunk_nonces, batch.target_word))
        except BaseException:
            self.free.append(slot)
            raise
        return Launch(self, slot)

    def _check(self, batch: Batch) -> None:
        if batch.midstates.shape[1:] != (8,) or not 1 <= len(batch.midstates) <= self.midstates:
            raise ValueError(f"{self.name}: invalid midstates {batch.midstates.shape}")
        if batch.tail.shape != (3,) or not 0 <= batch.target_word < 1 << 32:
            raise ValueError(f"{self.name}: invalid tail {batch.tail.shape} or target {batch.target_word}")
        if batch.chunks.ndim != 1 or not 1 <= len(batch.chunks) <= MAX_CHUNKS:
            raise ValueError(f"{self.name}: invalid chunks {batch.chunks.shape}")
        size = batch.chunk_nonces
        if size <= 0 or size % self.group_nonces or int(batch.chunks.max()) + size > 1 << 32:
            raise ValueError(f"{self.name}: invalid chunks of {size} nonces, up to {batch.chunks.max()}")
        if not self.free:
            raise ValueError(f"{self.name}: {SLOTS} launches are in flight; read the hits of one first")

    def close(self) -> None:
        """Give the device's memory back."""
        self.program.close()


def load_kernel(
    device: Device,
    variant: str | None = None,
    *,
    cache_dir: Path | None,
    report: Callable[[str], None] = lambda line: None,
) -> GpuKernel:
    """Load a variant on a device (None: the fastest there, timed once and remembered in `cache_dir`).

    The kernel must find the genesis block's nonce. `report` gets a line whenever something takes long or goes wrong.
    Raises EngineError if there is no such device or variant, or if no kernel works on it, DeviceOff if all are wrong.
    """

    def load(name: str) -> GpuKernel:
        info, program = backends.load_program(device, name, cache_dir)
        kernel = GpuKernel(info, program.source, program, name)
        check(kernel)
        return kernel

    if variant is not None:
        return load(variant)
    wrong = benched(device, cache_dir)
    names = [name for name in backends.variant_names(device) if name not in wrong]
    if not names:
        raise DeviceOff(f"every kernel gave wrong hits on {device.name}", "check its cooling, memory and driver")
    return choose.load_fastest(device, names, load, cache_dir=cache_dir, report=report)


def check(kernel: GpuKernel) -> None:
    """Find the genesis block's nonce. Raises EngineError if the kernel does not, or finds anything else."""
    if not finds_known_block(kernel):
        raise EngineError(
            f"kernel {kernel.name} does not find the genesis block", "choose another: the setting gpu.kernel"
        )


def finds_known_block(kernel: GpuKernel) -> bool:
    """Whether the kernel finds the genesis block's nonce, and nothing else, with every midstate that it takes."""
    midstates, nonce = np.tile(midstate(GENESIS[:64]), (kernel.midstates, 1)), int.from_bytes(GENESIS[76:], "little")
    start = nonce - nonce % kernel.group_nonces
    batch = Batch(midstates, tail_words(GENESIS), np.array([start], np.uint32), kernel.group_nonces, 0)
    return bool(kernel.launch(batch).hits().tolist() == [[index, nonce] for index in range(kernel.midstates)])
