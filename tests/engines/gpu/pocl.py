"""PoCL, which runs the cards' kernels on this CPU, and kernels on it for tests, loaded once."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from solominer.engines.cpu.reference import midstate, tail_words
from solominer.engines.gpu.kernel import Batch, Device, GpuKernel, devices, load_kernel
from solominer.engines.gpu.variants import VARIANTS

CACHE = Path(__file__).parents[3] / ".cache" / "test-kernels"
os.environ.setdefault("POCL_CACHE_DIR", str(CACHE / "pocl"))
Path(os.environ["POCL_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)

pytest.importorskip("pyopencl", reason="pyopencl is not installed, which runs the cards' kernels")

# Every way to write the search, each with another size of its groups; the nightly run takes all.
_EACH_KIND = [info.name for number, info in enumerate(VARIANTS) if number % 3 == number // 3 % 3]
NAMES = [info.name for info in VARIANTS] if os.environ.get("GPU_VARIANTS") == "all" else _EACH_KIND


@cache
def pocl() -> Device:
    """PoCL's device. Skips the test where there is none, as on CPUs that its wheel does not cover."""
    found = [device for device in devices(cpus=True) if device.kind == "cpu"]
    if not found:
        pytest.skip("OpenCL offers no CPU device: install pocl-binary-distribution or pocl-opencl-icd")
    return found[0]


@cache
def kernel(name: str) -> GpuKernel:
    """A variant, loaded once per test run."""
    return load_kernel(pocl(), name, cache_dir=CACHE)


def batch(heads: list[bytes], tail: bytes, starts: list[int], chunk_nonces: int, target_word: int) -> Batch:
    """A batch from the first 64 bytes of headers, bytes 64..75, and the chunks' first nonces."""
    midstates = np.array([midstate(head) for head in heads])
    chunks = np.array(starts, np.uint32)
    return Batch(midstates, tail_words(heads[0] + tail), chunks, chunk_nonces, target_word)
