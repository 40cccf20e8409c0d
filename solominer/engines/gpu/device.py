"""A graphics card as the kernels see it, and what a backend (OpenCL, CUDA) does with one."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solominer.engines.gpu.source import Source

SLOTS = 2  # launches in flight
MAX_CHUNKS = 65535  # of a launch: CUDA's limit of a grid's second dimension


@dataclass(frozen=True, slots=True)
class Device:
    """One device. `index`: its place in `devices()`. `bus`: its PCI address like 0000:65:00.0, '' if not known."""

    index: int
    name: str
    driver: str
    memory_bytes: int
    kind: str  # gpu, cpu, accelerator
    backend: str  # opencl, cuda
    bus: str = ""

    @property
    def key(self) -> str:
        """A folder name, the same for all devices of this name with this driver."""
        text = f"{self.backend}\n{self.name}\n{self.driver}"
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-")[:40]
        return f"{slug}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one launch: words of the job, words per midstate (shape (m, k)), starting nonces."""

    job: NDArray[np.uint32]
    midstate: NDArray[np.uint32]
    chunks: NDArray[np.uint32]
    chunk_nonces: int
    target_word: int


class Program(Protocol):
    """A compiled kernel on its device, with `SLOTS` sets of buffers. Methods raise EngineError if the device fails."""

    source: Source

    def start(self, slot: int, arguments: Arguments) -> None:
        """Enqueue a launch and return at once."""

    def finished(self, slot: int) -> bool:
        """Whether the slot's launch has ended. Never blocks."""

    def result(self, slot: int) -> NDArray[np.uint32]:
        """The words that a finished launch wrote: the number of hits, then (midstate, nonce) of each."""

    def close(self) -> None:
        """Give the device's memory back."""
