"""An engine without NumPy tricks or Numba: the kernel's contract by hashlib, for tests of everything around it.

Its midstate remembers the 64 bytes it came from, since hashlib cannot go on from a midstate. The kernel's name says
how it behaves: `fake` works, `fake-wrong` also names nonces that are no hits, `fake-hang` never comes back, `fake-kill`
ends with the process, `fake-raise` raises, `fake-unknown` cannot be loaded, `fake-narrow` stops after each third nonce.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solominer.engines.cpu.reference import scan_headers
from solominer.errors import EngineError

_HEADS: dict[bytes, bytes] = {}


def midstate(header64: bytes) -> NDArray[np.uint32]:
    """A stand-in for SHA-256's state after the first 64 bytes, shape (8,)."""
    words = np.frombuffer(header64[:4] + header64[36:64], np.uint32)
    _HEADS[words.tobytes()] = header64
    return words


@dataclass(frozen=True, slots=True)
class FakeKernel:
    """See `solominer.engines.cpu.kernel.Kernel`."""

    name: str
    lanes: int = 4
    midstates: int = 4

    def scan(
        self,
        midstates: NDArray[np.uint32],
        tail: NDArray[np.uint32],
        nonce_start: int,
        nonce_count: int,
        target_word: int,
        hits: NDArray[np.uint32],
        watched: NDArray[np.uint64],
        seen: int,
    ) -> tuple[int, int]:
        """As the contract says, or as the name does; but its blocks are so large that `watched` never ends it early."""
        assert nonce_count > 0
        assert nonce_start + nonce_count <= 1 << 32
        assert 0 < len(midstates) <= self.midstates
        match self.name:
            case "fake-hang":
                time.sleep(3600)
            case "fake-kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "fake-raise":
                raise RuntimeError("the fake kernel was asked to raise")
            case "fake-wrong":
                hits[0] = (0, nonce_start)
                return 1, nonce_count
            case "fake-narrow":
                nonce_count = min(nonce_count, 3)
        found = scan_headers(
            [_HEADS[state.tobytes()] for state in midstates],
            tail.astype(">u4").tobytes(),
            nonce_start,
            nonce_count,
            target_word,
        )
        if len(found) > len(hits):
            nonce_count = found[len(hits)][1] - nonce_start
            found = [hit for hit in found[: len(hits)] if hit[1] < nonce_start + nonce_count]
        hits[: len(found)] = np.array(found, np.uint32).reshape(-1, 2)
        return len(found), nonce_count


def load_kernel(
    name: str | None = None, *, cache_dir: Path | None, report: Callable[[str], None] = lambda line: None
) -> FakeKernel:
    """The kernel that behaves as its name says."""
    if name == "fake-unknown":
        raise EngineError("there is no such kernel", "choose another")
    report("compiling the fake kernel")
    return FakeKernel(name or "fake")


def bench_out(name: str, *, cache_dir: Path | None) -> None:
    """Remember that a kernel is wrong."""
    if cache_dir is not None:
        (cache_dir / f"benched-{name}").touch()
