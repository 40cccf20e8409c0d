"""The clock a core really runs at, from a chain of instructions that each take one cycle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from solominer.hashing.words import I64

_CHAIN = 128

_in_loop: Callable[[Callable[..., Any]], Any] = intrinsic(prefer_literal=True)


@_in_loop
def _one_cycle_each(typingctx: Any, value: Any) -> Any:
    """`_CHAIN` additions and exclusive ors in turn, each waiting for the one before; no compiler can shorten them."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        value = args[0]
        for link in range(_CHAIN // 2):
            value = builder.xor(builder.add(value, I64(2 * link + 3)), I64(5 * link + 7))
        return value

    return types.uint64(types.uint64), emit


def make_clock() -> Callable[[], float]:
    """A function that measures the core's cycles per second, in about a millisecond."""

    @numba.njit(types.uint64(types.uint64, types.int64))
    def chain(value, turns):  # type: ignore[no-untyped-def]
        for _ in range(turns):
            value = _one_cycle_each(value)
        return value

    def clock_hz() -> float:
        turns, fastest = 5000, float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            chain(1, turns)
            fastest = min(fastest, time.perf_counter() - begun)
        return turns * _CHAIN / fastest

    return clock_hz
