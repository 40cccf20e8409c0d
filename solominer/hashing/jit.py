"""The search loop, jitted by Numba around the two pieces of vector code that `sha256d` describes.

Importing this module imports Numba and LLVM; only processes that hash do so.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from solominer.hashing import sha256d

SIGNATURE = types.UniTuple(types.int64, 2)(
    types.Array(types.uint32, 2, "C"),  # midstates
    types.Array(types.uint32, 1, "C"),  # tail
    types.int64,  # nonce_start
    types.int64,  # nonce_count
    types.uint32,  # target_word
    types.Array(types.uint32, 2, "C"),  # hits
    types.Array(types.uint32, 1, "C"),  # schedule
    types.Array(types.uint64, 1, "C"),  # masks
)


def _word_pointers(context: Any, builder: ir.IRBuilder, array_type: Any, array: ir.Value, first: ir.Value) -> Any:
    """A function that gives the pointer to word `first + offset` of a uint32 array."""
    data = context.make_array(array_type)(context, builder, array).data
    start = builder.gep(data, [first])
    return lambda offset: builder.gep(start, [ir.Constant(ir.IntType(64), offset)])


@intrinsic(prefer_literal=True)
def expand(typingctx: Any, lanes: Any, tail: Any, nonce: Any, schedule: Any) -> Any:
    """Write the sums K + W of the second header block into `schedule`, for `lanes` nonces from `nonce` on."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        words = sha256d.Words(builder, lanes.literal_value)
        zero = ir.Constant(ir.IntType(64), 0)
        tail_at = _word_pointers(context, builder, signature.args[1], args[1], zero)
        schedule_at = _word_pointers(context, builder, signature.args[3], args[3], zero)
        tail_words = [builder.load(tail_at(index)) for index in range(3)]
        for index, kw in enumerate(sha256d.header_schedule(words, tail_words, args[2])):
            words.store(kw, schedule_at(index * words.lanes))
        return context.get_dummy_value()

    return types.void(lanes, tail, types.uint32, schedule), emit


@intrinsic(prefer_literal=True)
def hit_lanes(typingctx: Any, lanes: Any, midstates: Any, index: Any, schedule: Any, target_word: Any) -> Any:
    """A bit for each nonce of `schedule` whose hash, from midstate `index` on, has a top word <= `target_word`."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        words = sha256d.Words(builder, lanes.literal_value)
        zero = ir.Constant(ir.IntType(64), 0)
        first = builder.mul(args[2], ir.Constant(ir.IntType(64), 8))
        midstate_at = _word_pointers(context, builder, signature.args[1], args[1], first)
        schedule_at = _word_pointers(context, builder, signature.args[3], args[3], zero)
        midstate = [builder.load(midstate_at(word)) for word in range(8)]
        kws = (words.load(schedule_at(t * words.lanes)) for t in range(64))
        top = words.call("llvm.bswap", sha256d.last_word(words, midstate, kws))
        hit = builder.icmp_unsigned("<=", top, words.spread(args[4]))
        mask = builder.bitcast(hit, ir.IntType(words.lanes))
        return mask if words.lanes == 64 else builder.zext(mask, ir.IntType(64))

    return types.uint64(lanes, midstates, types.int64, schedule, types.uint32), emit


def make_scan(lanes: int) -> Any:
    """The search function of `lanes` nonces at a time, not yet compiled. See `kernel.Kernel.scan` for its contract."""

    def scan(midstates, tail, nonce_start, nonce_count, target_word, hits, schedule, masks):  # type: ignore[no-untyped-def]
        written = 0
        done = 0
        while done < nonce_count:
            expand(lanes, tail, numba.uint32(nonce_start + done), schedule)
            hit_anywhere = numba.uint64(0)
            for index in range(len(midstates)):
                masks[index] = hit_lanes(lanes, midstates, index, schedule, target_word)
                hit_anywhere |= masks[index]
            block = min(lanes, nonce_count - done)
            if hit_anywhere != 0:
                for lane in range(block):
                    here = numba.uint64(1) << numba.uint64(lane)
                    if hit_anywhere & here:
                        wanted = 0
                        for index in range(len(midstates)):
                            wanted += (masks[index] & here) != 0
                        if written + wanted > len(hits):
                            return written, done + lane
                        for index in range(len(midstates)):
                            if masks[index] & here:
                                hits[written, 0] = index
                                hits[written, 1] = nonce_start + done + lane
                                written += 1
            done += block
        return written, done

    return numba.njit(SIGNATURE, nogil=True, boundscheck=False, error_model="numpy")(scan)
