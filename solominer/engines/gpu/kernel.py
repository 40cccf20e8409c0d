"""Interface of the kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solominer.errors import EngineError


@dataclass(frozen=True, slots=True)
class Device:
    index: int
    name: str
    driver: str
    memory_bytes: int
    kind: str
    backend: str
    key: str
    bus: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    midstates: NDArray[np.uint32]
    tail: NDArray[np.uint32]
    chunks: NDArray[np.uint32]
    chunk_nonces: int
    target_word: int


class TooManyHits(Exception):
    """The hit buffer overflowed."""


class Launch(Protocol):
    @property
    def done(self) -> bool: ...

    def hits(self) -> NDArray[np.uint32]: ...


class GpuKernel(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def midstates(self) -> int: ...

    @property
    def group_nonces(self) -> int: ...

    def launch(self, batch: Batch) -> Launch: ...

    def close(self) -> None: ...


def devices(*, cpus: bool = False) -> list[Device]:
    raise EngineError("no kernels yet")


def load_kernel(
    device: Device, variant: str | None = None, *, cache_dir: Path | None, report: Callable[[str], None]
) -> GpuKernel:
    raise EngineError("no kernels yet")


def bench_out(device: Device, name: str, *, cache_dir: Path | None) -> None:
    raise EngineError("no kernels yet")


def remembered(device: Device, *, cache_dir: Path | None) -> str:
    return ""
