"""Searches a block of nonces with many midstates, in passes whose loops fit a CPU's micro-op cache.

    prepare   once per call and midstate: rounds 0..3, without the nonce
    expand    once per block of nonces: the sums K + W of the second header block, shared by all midstates
    first     `streams` midstates at a time: rounds 4..63 of the second header block
    second    `streams` midstates at a time: the hash of that hash, compared with the target

Full unrolling would need 25,000 instructions, decoded again for each block. Here eight rounds are unrolled, after which
the state's words are back in their places, and interleaving `streams` independent hashes hides their latency. All words
between the passes are in one `Scratch`, which stays in near caches.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from llvmlite import ir

from solominer.engines.cpu.llvm_words import I32, I64, Words
from solominer.engines.sha256.sha256d import (
    DIGEST_PADDING,
    HEADER_PADDING,
    IV,
    LAST_ROUND,
    K,
    before_nonce,
    header_sums,
    next_word,
    one_round,
    top_word,
    with_nonce,
)
from solominer.engines.sha256.words import State, Word

TURN = 8  # rounds per loop iteration


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a kernel's words, as offsets into one array of uint32 aligned to 64 bytes.

    Per slot 16 uniform words: the state before the nonce, then the midstate. Varying ones: 64 sums, 8 digest words per
    slot, and the schedules of the second pass's streams, one after the other. There are as many slots as midstates,
    rounded up to a multiple of both passes' streams.
    """

    lanes: int
    midstates: int
    first: int
    second: int

    @property
    def slots(self) -> int:
        step = lcm(self.first, self.second)
        return -(-self.midstates // step) * step

    @property
    def prepared(self) -> int:
        return 0

    @property
    def sums(self) -> int:
        return self.slots * 16

    @property
    def digests(self) -> int:
        return self.sums + 64 * self.lanes

    @property
    def schedules(self) -> int:
        return self.digests + 8 * self.slots * self.lanes

    @property
    def size(self) -> int:
        return self.schedules + 64 * self.second * self.lanes


class Scratch:
    """The parts of a kernel's scratch array, as pointers."""

    def __init__(self, builder: ir.IRBuilder, words_at: ir.Value, layout: Layout) -> None:
        self.prepared, self.sums, self.digests, self.schedules = (
            builder.gep(words_at, [I64(offset)])
            for offset in (layout.prepared, layout.sums, layout.digests, layout.schedules)
        )


def prepare(w: Words, scratch: Scratch, slot: Word, midstate: State, tail: State) -> None:
    """Rounds 0..3 of a midstate, stored with the midstate in `slot`."""
    first = w.builder.mul(slot, I64(16))
    for index, word in enumerate([*before_nonce(w, midstate, tail), *midstate]):
        place = w.builder.gep(scratch.prepared, [w.builder.add(first, I64(index))])
        w.builder.store(word, place)


def expand(w: Words, scratch: Scratch, tail: State, nonce: ir.Value) -> None:
    """The sums K + W for the nonces from `nonce` on, one per lane."""
    nonces = w.builder.add(w.spread(nonce), w.constant(*range(w.lanes)))
    for t, word in enumerate(header_sums(w, tail, nonces)):
        if t >= 3:
            w.store(word, scratch.sums, t)


def first_pass(w: Words, scratch: Scratch, slot: Word, streams: int) -> None:
    """The first hash of `streams` midstates from `slot` on, stored in the digests."""
    prepared = [_prepared(w, scratch, slot, stream) for stream in range(streams)]
    nonce_sum = w.load(scratch.sums, 3)
    states = [with_nonce(w, words[:8], nonce_sum) for words in prepared]
    for t in range(4, TURN):
        states = [one_round(w, state, w.add(K[t], HEADER_PADDING[t - 4])) for state in states]

    def turn(t: ir.Value, words: list[Word]) -> list[Word]:
        states = _split(words, 8)
        for offset in range(TURN):
            word_sum = w.load(scratch.sums, w.builder.add(t, I64(offset)))
            states = [one_round(w, state, word_sum) for state in states]
        return _join(states)

    states = _split(w.loop(range(TURN, 64, TURN), [w.spread(word) for word in _join(states)], turn), 8)
    for stream, (state, words) in enumerate(zip(states, prepared, strict=True)):
        digest_at = w.builder.mul(w.builder.add(slot, I64(stream)), I64(8))
        for index, (new, old) in enumerate(zip(state, words[8:], strict=True)):
            w.store(w.add(new, old), scratch.digests, w.builder.add(digest_at, I64(index)))


def second_pass(w: Words, scratch: Scratch, slot: Word, streams: int) -> list[ir.Value]:
    """The top words of the hash values of `streams` digests from `slot` on."""
    schedules = [[*_digest(w, scratch, slot, stream), *DIGEST_PADDING] for stream in range(streams)]
    states: list[State] = [list(IV)] * streams
    for t in range(16):
        for stream, words in enumerate(schedules):
            w.store(words[t], scratch.schedules, 64 * stream + t)
            states[stream] = one_round(w, states[stream], w.add(words[t], K[t]))

    def turn(t: ir.Value, words: list[Word]) -> list[Word]:
        states = _split(words, 8)
        histories = [_history(w, scratch, w.builder.add(t, I64(64 * stream))) for stream in range(streams)]
        for offset in range(TURN):
            k = w.load_uniform(constants, w.builder.add(t, I64(offset)))
            for stream, history in enumerate(histories):
                history.append(next_word(w, history))
                w.store(history[-1], scratch.schedules, w.builder.add(t, I64(64 * stream + offset)))
                states[stream] = one_round(w, states[stream], k, history[-1])
        return _join(states)

    constants = _constants(w.builder)
    rest = LAST_ROUND // TURN * TURN
    states = _split(w.loop(range(16, rest, TURN), [w.spread(word) for word in _join(states)], turn), 8)
    histories = [_history(w, scratch, I64(64 * stream + rest)) for stream in range(streams)]
    for t in range(rest, LAST_ROUND + 1):
        for stream, history in enumerate(histories):
            history.append(next_word(w, history))
            states[stream] = one_round(w, states[stream], K[t], history[-1])
    return [top_word(w, state) for state in states]


def _prepared(w: Words, scratch: Scratch, slot: Word, stream: int) -> list[Word]:
    first = w.builder.mul(w.builder.add(slot, I64(stream)), I64(16))
    return [w.load_uniform(scratch.prepared, w.builder.add(first, I64(index))) for index in range(16)]


def _digest(w: Words, scratch: Scratch, slot: Word, stream: int) -> list[Word]:
    first = w.builder.mul(w.builder.add(slot, I64(stream)), I64(8))
    return [w.load(scratch.digests, w.builder.add(first, I64(index))) for index in range(8)]


def _history(w: Words, scratch: Scratch, t: ir.Value) -> list[Word]:
    """The sixteen schedule words before word `t`; LLVM drops unused loads."""
    return [w.load(scratch.schedules, w.builder.add(t, I64(offset))) for offset in range(-16, 0)]


def _constants(builder: ir.IRBuilder) -> ir.Value:
    """A pointer to the table of K in the module."""
    table = builder.module.globals.get("sha256_k")
    if table is None:
        kind = ir.ArrayType(I32, 64)
        table = ir.GlobalVariable(builder.module, kind, "sha256_k")
        table.linkage, table.global_constant, table.align = "internal", True, 64
        table.initializer = ir.Constant(kind, list(K))
    return builder.gep(table, [I64(0), I64(0)])


def _join(states: list[State]) -> list[Word]:
    return [word for state in states for word in state]


def _split(words: list[Word], size: int) -> list[State]:
    return [words[start : start + size] for start in range(0, len(words), size)]
