"""SHA-256's compression of one block (FIPS 180-4) as LLVM code: with the CPU's own instructions where it has them.

Words are big-endian reads of the message's bytes. Importing this module imports Numba and LLVM.

Trap: x86's SHA instructions are encoded the old way, and run up to 100 times slower while the upper halves of the
vector registers are in use from AVX code before. So `vzeroupper` comes first in every block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_I32 = ir.IntType(32)
_V4 = ir.VectorType(_I32, 4)
_intrinsic: Callable[..., Any] = intrinsic


def _root_bits(degree: int, prime: int) -> int:
    """The first 32 bits behind the point of a prime's square (2) or cube (3) root."""
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= prime << 32 * degree else (low, middle)
    return low & 0xFFFFFFFF


_PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
ROUND_CONSTANTS = tuple(_root_bits(3, prime) for prime in _PRIMES)
INITIAL_STATE = tuple(_root_bits(2, prime) for prime in _PRIMES[:8])


def host_has_sha() -> bool:
    """Whether this CPU has x86's SHA extensions."""
    return bool(llvm.get_host_cpu_features().get("sha"))


def _const(value: int) -> ir.Constant:
    return ir.Constant(_I32, value)


def _rotr(b: ir.IRBuilder, x: ir.Value, count: int) -> ir.Value:
    return b.or_(b.lshr(x, _const(count)), b.shl(x, _const(32 - count)))


def _sum(b: ir.IRBuilder, *values: ir.Value) -> ir.Value:
    total = values[0]
    for value in values[1:]:
        total = b.add(total, value)
    return total


def _xor3(b: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    return b.xor(b.xor(x, y), z)


def _plain(b: ir.IRBuilder, state: Sequence[ir.Value], block: Sequence[ir.Value]) -> list[ir.Value]:
    """The state after `block`, in ordinary instructions."""
    words = list(block)
    a, bb, c, d, e, f, g, h = state
    for t, constant in enumerate(ROUND_CONSTANTS):
        if t >= 16:
            x, y = words[t - 15], words[t - 2]
            s0 = _xor3(b, _rotr(b, x, 7), _rotr(b, x, 18), b.lshr(x, _const(3)))
            s1 = _xor3(b, _rotr(b, y, 17), _rotr(b, y, 19), b.lshr(y, _const(10)))
            words.append(_sum(b, words[t - 16], s0, words[t - 7], s1))
        big1 = _xor3(b, _rotr(b, e, 6), _rotr(b, e, 11), _rotr(b, e, 25))
        choose = b.xor(g, b.and_(e, b.xor(f, g)))
        t1 = _sum(b, h, big1, choose, b.add(words[t], _const(constant)))
        big0 = _xor3(b, _rotr(b, a, 2), _rotr(b, a, 13), _rotr(b, a, 22))
        majority = b.xor(bb, b.and_(b.xor(a, bb), b.xor(bb, c)))
        a, bb, c, d, e, f, g, h = _sum(b, t1, big0, majority), a, bb, c, b.add(d, t1), e, f, g
    return [b.add(old, new) for old, new in zip(state, (a, bb, c, d, e, f, g, h), strict=True)]


def _vector(b: ir.IRBuilder, words: Sequence[ir.Value]) -> ir.Value:
    vector: ir.Value = ir.Constant(_V4, ir.Undefined)
    for lane, word in enumerate(words):
        vector = b.insert_element(vector, word, _const(lane))
    return vector


def _pick(b: ir.IRBuilder, x: ir.Value, y: ir.Value, *lanes: int) -> ir.Value:
    """Words of x (lanes 0..3) and y (4..7)."""
    return b.shuffle_vector(x, y, ir.Constant(_V4, [_const(lane) for lane in lanes]))


def _x86(b: ir.IRBuilder, state: Sequence[ir.Value], block: Sequence[ir.Value]) -> list[ir.Value]:
    """The state after `block`, in SHA-256 instructions: two rounds each on the words FEBA and HGDC."""

    def call(name: str, result: ir.Type, *args: ir.Value) -> ir.Value:
        kind = ir.FunctionType(result, [arg.type for arg in args])
        return b.call(b.module.declare_intrinsic(name, fnty=kind), list(args))

    call("llvm.x86.avx.vzeroupper", ir.VoidType())
    left = first_left = _vector(b, [state[i] for i in (5, 4, 1, 0)])
    right = first_right = _vector(b, [state[i] for i in (7, 6, 3, 2)])
    words = [_vector(b, block[i : i + 4]) for i in (0, 4, 8, 12)]
    for group in range(16):
        constants = ir.Constant(_V4, [_const(k) for k in ROUND_CONSTANTS[4 * group : 4 * group + 4]])
        sums = b.add(words[0], constants)
        right = call("llvm.x86.sha256rnds2", _V4, right, left, sums)
        left = call("llvm.x86.sha256rnds2", _V4, left, right, _pick(b, sums, sums, 2, 3, 2, 3))
        if group < 12:
            partial = call("llvm.x86.sha256msg1", _V4, words[0], words[1])
            partial = b.add(partial, _pick(b, words[2], words[3], 1, 2, 3, 4))
            words.append(call("llvm.x86.sha256msg2", _V4, partial, words[3]))
        del words[0]
    left, right = b.add(left, first_left), b.add(right, first_right)
    a_and_others = {5: (left, 0), 4: (left, 1), 1: (left, 2), 0: (left, 3)}
    others = {7: (right, 0), 6: (right, 1), 3: (right, 2), 2: (right, 3)}
    places = a_and_others | others
    return [b.extract_element(places[i][0], _const(places[i][1])) for i in range(8)]


def _make(emit: Callable[..., list[ir.Value]]) -> Any:
    @_intrinsic
    def compress_words(typingctx: Any, states: Any, state_at: Any, blocks: Any, block_at: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            def pointers(position: int, count: int) -> list[ir.Value]:
                data = context.make_array(signature.args[position])(context, builder, args[position]).data
                at = args[position + 1]
                return [builder.gep(data, [builder.add(at, ir.Constant(at.type, i))]) for i in range(count)]

            outs = pointers(0, 8)
            state = [builder.load(pointer) for pointer in outs]
            block = [builder.load(pointer) for pointer in pointers(2, 16)]
            for pointer, word in zip(outs, emit(builder, state, block), strict=True):
                builder.store(word, pointer)
            return context.get_dummy_value()

        return types.void(states, types.int64, blocks, types.int64), generate

    return compress_words


compress_plain = _make(_plain)
compress_x86 = _make(_x86)
"""`compress(states, at, blocks, at)`: the eight words at `states[at:]` become the state after 16 at `blocks[at:]`."""
