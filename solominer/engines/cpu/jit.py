"""The search loop, jitted by Numba, around passes built from `sha256d`.

Importing this module imports Numba and LLVM; only processes that hash do so. The intrinsics are at module level and
identify their variant by a number, because Numba's cache does not recognize a function that closes over an intrinsic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from solominer.engines.cpu import looped, sha_instructions, unrolled
from solominer.engines.cpu.llvm_words import I32, I64, Words
from solominer.engines.cpu.variants import VARIANTS, Method, VariantInfo
from solominer.engines.sha256.sha256d import IV, compress

_in_kernel: Callable[[Callable[..., Any]], Any] = intrinsic(prefer_literal=True)
_tuple: Any = types.UniTuple
_pointer: Any = types.CPointer

PAGE_BYTES = 4096

WORDS_1D = types.Array(types.uint32, 1, "C")
WORDS_2D = types.Array(types.uint32, 2, "C")
SCAN = _tuple(types.int64, 2)(
    WORDS_2D,
    WORDS_1D,
    types.int64,
    types.int64,
    types.uint32,
    WORDS_2D,
    types.Array(types.uint64, 1, "C"),
    types.uint64,
)
MIDSTATES = types.void(WORDS_2D, WORDS_2D)


def _methods(info: VariantInfo) -> tuple[Any, tuple[Any, ...]]:
    """The module with a variant's passes, and their additional arguments."""
    return {
        Method.LOOPED: (looped, ()),
        Method.UNROLLED: (unrolled, ()),
        Method.X86_SHA: (sha_instructions, (sha_instructions.X86,)),
        Method.ARM_SHA: (sha_instructions, (sha_instructions.ARM,)),
    }[info.method]


def layout(info: VariantInfo) -> looped.Layout:
    """The layout of a variant's scratch array."""
    return looped.Layout(info.lanes, info.midstates, info.first, info.second)


class _Emitter:
    """A variant's words and scratch array inside an intrinsic."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> None:
        self.info = VARIANTS[signature.args[0].literal_value]
        self.words = Words(builder, self.info.lanes, ternary=self.info.ternary)
        self.module, self.more = _methods(self.info)
        self._context, self._builder, self._types, self._args = context, builder, signature.args, args

    def data(self, position: int) -> ir.Value:
        """Pointer to the first item of an array argument."""
        array = self._context.make_array(self._types[position])
        return array(self._context, self._builder, self._args[position]).data

    def scratch(self, position: int) -> looped.Scratch:
        return looped.Scratch(self._builder, self._args[position], layout(self.info))

    def load(self, position: int, count: int, row: ir.Value | None = None) -> list[ir.Value]:
        """The first `count` words of an array argument, or of one of its rows."""
        first = self._builder.mul(row, I64(count)) if row is not None else I64(0)
        return [
            self.words.load_uniform(self.data(position), self._builder.add(first, I64(index))) for index in range(count)
        ]


@_in_kernel
def make_scratch(typingctx: Any, number: Any) -> Any:
    """A variant's scratch array."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return _in_frame(builder, I32, layout(VARIANTS[signature.args[0].literal_value]).size)

    return _pointer(types.uint32)(number), emit


@_in_kernel
def make_masks(typingctx: Any, number: Any) -> Any:
    """An array with a mask per slot."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return _in_frame(builder, I64, layout(VARIANTS[signature.args[0].literal_value]).slots)

    return _pointer(types.uint64)(number), emit


def _in_frame(builder: ir.IRBuilder, item: ir.Type, count: int) -> ir.Value:
    """An array in the stack frame, which it aligns to a page.

    So a kernel's memory, including the registers that LLVM spills, has the same placement in every process. With heap
    arrays at random addresses, one process could be up to 9 % slower than another for its whole life (docs/hashing.md).
    """
    with builder.goto_entry_block():
        array = builder.alloca(ir.ArrayType(item, count))
    array.align = PAGE_BYTES
    return builder.bitcast(array, item.as_pointer())


@_in_kernel
def prepare(typingctx: Any, number: Any, scratch: Any, slot: Any, midstates: Any, index: Any, tail: Any) -> Any:
    """`prepare` of the variant: midstate `index` into `slot`."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        this = _Emitter(context, builder, signature, args)
        this.module.prepare(this.words, this.scratch(1), args[2], this.load(3, 8, args[4]), this.load(5, 3), *this.more)
        return context.get_dummy_value()

    return types.void(number, scratch, types.int64, midstates, types.int64, tail), emit


@_in_kernel
def expand(typingctx: Any, number: Any, scratch: Any, tail: Any, nonce: Any) -> Any:
    """`expand` of the variant: the schedule shared by all midstates, for the nonces from `nonce` on."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        this = _Emitter(context, builder, signature, args)
        this.module.expand(this.words, this.scratch(1), this.load(2, 3), args[3])
        return context.get_dummy_value()

    return types.void(number, scratch, tail, types.uint32), emit


@_in_kernel
def first_pass(typingctx: Any, number: Any, scratch: Any, slot: Any) -> Any:
    """`first_pass` of the variant, for the midstates from `slot` on."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        this = _Emitter(context, builder, signature, args)
        this.module.first_pass(this.words, this.scratch(1), args[2], this.info.first, *this.more)
        return context.get_dummy_value()

    return types.void(number, scratch, types.int64), emit


@_in_kernel
def second_pass(typingctx: Any, number: Any, scratch: Any, slot: Any, target_word: Any, masks: Any) -> Any:
    """`second_pass` of the variant: writes a mask of hits per midstate to `masks`; returns whether there are any."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        this = _Emitter(context, builder, signature, args)
        w = this.words
        tops = this.module.second_pass(w, this.scratch(1), args[2], this.info.second, *this.more)
        hits = [builder.icmp_unsigned("<=", top, w.spread(args[3])) for top in tops]
        masks = [builder.zext(builder.bitcast(hit, ir.IntType(w.lanes)) if w.lanes > 1 else hit, I64) for hit in hits]
        for stream, mask in enumerate(masks):
            builder.store(mask, builder.gep(args[4], [builder.add(args[2], I64(stream))]))
        anywhere = masks[0]
        for mask in masks[1:]:
            anywhere = builder.or_(anywhere, mask)
        return builder.icmp_unsigned("!=", anywhere, I64(0))

    return types.boolean(number, scratch, types.int64, types.uint32, masks), emit


@_in_kernel
def as_it_stands(typingctx: Any, watched: Any) -> Any:
    """The first item of an array that another process writes, read from memory each time."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.load_atomic(array.data, "monotonic", 8)

    return types.uint64(watched), emit


@_in_kernel
def compress_block(typingctx: Any, blocks: Any, row: Any, states: Any) -> Any:
    """Write the state after one block of 16 words, starting from IV, to `states`."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        w = Words(builder)
        blocks_at, states_at = (
            context.make_array(signature.args[position])(context, builder, args[position]).data for position in (0, 2)
        )
        first_word, first_state = (builder.mul(args[1], I64(size)) for size in (16, 8))
        block = [w.load_uniform(blocks_at, builder.add(first_word, I64(index))) for index in range(16)]
        for index, word in enumerate(compress(w, IV, block)):
            builder.store(word, builder.gep(states_at, [builder.add(first_state, I64(index))]))
        return context.get_dummy_value()

    return types.void(blocks, types.int64, states), emit


def make_midstates(**options: Any) -> Any:
    """A jitted function that compresses the first blocks of many headers."""

    def midstates(blocks, states):  # type: ignore[no-untyped-def]
        for row in range(len(blocks)):
            compress_block(blocks, row, states)

    return numba.njit(MIDSTATES, nogil=True, **options)(midstates)


def make_scan(number: int, **options: Any) -> Any:
    """The search function of variant `number`. See `kernel.Kernel.scan` for its contract."""
    info = VARIANTS[number]
    lanes, first, second, slots = info.lanes, info.first, info.second, layout(info).slots

    def scan(midstates, tail, nonce_start, nonce_count, target_word, hits, watched, seen):  # type: ignore[no-untyped-def]
        count = len(midstates)
        scratch, masks = make_scratch(number), make_masks(number)
        for slot in range(slots):
            prepare(number, scratch, slot, midstates, min(slot, count - 1), tail)
        written = 0
        done = 0
        while done < nonce_count:
            expand(number, scratch, tail, numba.uint32(nonce_start + done))
            for slot in range(0, count, first):
                first_pass(number, scratch, slot)
            any_hit = False
            for slot in range(0, count, second):
                any_hit |= second_pass(number, scratch, slot, target_word, masks)
            block = min(lanes, nonce_count - done)
            if any_hit:
                anywhere = numba.uint64(0)
                for index in range(count):
                    anywhere |= masks[index]
                for lane in range(block):
                    bit = numba.uint64(1) << numba.uint64(lane)
                    if anywhere & bit:
                        wanted = 0
                        for index in range(count):
                            wanted += (masks[index] & bit) != 0
                        if written + wanted > len(hits):
                            return written, done + lane
                        for index in range(count):
                            if masks[index] & bit:
                                hits[written, 0] = index
                                hits[written, 1] = nonce_start + done + lane
                                written += 1
            done += block
            if as_it_stands(watched) != seen:
                break
        return written, done

    return numba.njit(SCAN, nogil=True, boundscheck=False, error_model="numpy", **options)(scan)
