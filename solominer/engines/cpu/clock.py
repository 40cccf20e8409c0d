"""The clock a core really runs at, from chains of instructions whose latency in cycles is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_LINKS = 64
_CYCLES_OF_SUM_LINK = 2  # an addition and an exclusive or of registers: one cycle each
_CYCLES_OF_PRODUCT_LINK = 4  # a 32-bit multiplication: three cycles on x86; an exclusive or: one

_in_loop: Callable[[Callable[..., Any]], Any] = intrinsic(prefer_literal=True)


@_in_loop
def _sums(typingctx: Any, value: Any, other: Any) -> Any:
    """`_LINKS` additions and exclusive ors in turn, each of which waits for the one before.

    With a value that only the caller knows: Intel's cores since Golden Cove execute additions of constants in no time
    (they are folded when registers are renamed), and a compiler could join operations on constants.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        value, other = args
        for _ in range(_LINKS):
            value = builder.xor(builder.add(value, other), other)
        return value

    return types.uint32(types.uint32, types.uint32), emit


@_in_loop
def _products(typingctx: Any, value: Any, other: Any) -> Any:
    """`_LINKS` squares and exclusive ors in turn."""

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

    They agree on a core that shortens neither. One that does so appears too fast by that chain, so the lower is right.
    """
    return _rate(sum_chain, _CYCLES_OF_SUM_LINK, 4000), _rate(product_chain, _CYCLES_OF_PRODUCT_LINK, 2000)


def core_clock_hz() -> float:
    """The core's cycles per second: of its own clock at this moment, not of the time stamp counter."""
    return min(chain_clocks_hz())


def _rate(chain: Any, cycles: int, turns: int) -> float:
    fastest = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        chain(1, 0x9E3779B9, turns)
        fastest = min(fastest, time.perf_counter() - begun)
    return turns * _LINKS * cycles / fastest
