"""SHA-256's compression of one block (FIPS 180-4) for Numba: with the CPU's own instructions where it has them.

The rounds are those of the CPU engine's kernels. Words are big-endian reads of the message's bytes. Importing this
module imports Numba and LLVM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from solominer.engines.cpu.llvm_words import I32, Words
from solominer.engines.cpu.machine import this_machine
from solominer.engines.cpu.sha_instructions import X86, clear_upper_halves
from solominer.engines.sha256.sha256d import K, compress

_intrinsic: Callable[..., Any] = intrinsic
_pointer: Any = types.CPointer


def host_has_sha() -> bool:
    """Whether this CPU has x86's SHA extensions."""
    return "sha" in this_machine().features


def _plain(b: ir.IRBuilder, state: Sequence[ir.Value], block: Sequence[ir.Value]) -> list[ir.Value]:
    """The state after `block`, in ordinary instructions."""
    return compress(Words(b), state, block)


def _x86(b: ir.IRBuilder, state: Sequence[ir.Value], block: Sequence[ir.Value]) -> list[ir.Value]:
    """The state after `block`, in SHA-256 instructions."""
    clear_upper_halves(Words(b), X86)
    v = Words(b, 4)

    def vector(words: Sequence[ir.Value]) -> ir.Value:
        packed: ir.Value = ir.Constant(v.type, ir.Undefined)
        for lane, word in enumerate(words):
            packed = b.insert_element(packed, word, I32(lane))
        return packed

    before = vector([state[i] for i in X86.left]), vector([state[i] for i in X86.right])
    words = [vector(block[i : i + 4]) for i in (0, 4, 8, 12)]
    pair = before
    for group in range(16):
        pair = X86.four_rounds(v, pair, b.add(words[0], v.constant(*K[4 * group : 4 * group + 4])))
        if group < 12:
            words.append(X86.next_words(v, *words[:4]))
        del words[0]
    halves = X86.digest(v, (b.add(pair[0], before[0]), b.add(pair[1], before[1])))
    return [b.extract_element(half, I32(lane)) for half in halves for lane in range(4)]


def _make(emit: Callable[..., list[ir.Value]]) -> Any:
    @_intrinsic
    def compress_words(typingctx: Any, states: Any, state_at: Any, blocks: Any, block_at: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            def pointers(data: ir.Value, at: ir.Value, count: int) -> list[ir.Value]:
                return [builder.gep(data, [builder.add(at, ir.Constant(at.type, i))]) for i in range(count)]

            outs = pointers(args[0], args[1], 8)
            state = [builder.load(pointer) for pointer in outs]
            block = [builder.load(pointer) for pointer in pointers(args[2], args[3], 16)]
            for pointer, word in zip(outs, emit(builder, state, block), strict=True):
                builder.store(word, pointer)
            return context.get_dummy_value()

        return types.void(states, types.int64, blocks, types.int64), generate

    return compress_words


compress_plain = _make(_plain)
compress_x86 = _make(_x86)
"""`compress(states, at, blocks, at)`: the eight words at `states[at:]` become the state after 16 at `blocks[at:]`."""


def _make_pointer(items: Any) -> Any:
    pointer = _pointer(items)

    @_intrinsic
    def pointer_from(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(pointer))

        return pointer(address), generate

    return pointer_from


bytes_at, words_at = _make_pointer(types.uint8), _make_pointer(types.uint32)
integers_at, keys_at = _make_pointer(types.int64), _make_pointer(types.uint64)
"""`integers_at(address)` and so on: the pointer to numbers of 8 bits, 32 bits, 64 bits with and without a sign."""
