"""The passes of `looped` with a CPU's SHA-256 instructions: x86's SHA extensions or ARMv8's.

These instructions do two (x86) or four (ARM) rounds of one hash on vectors of four words, so there is one lane, and
`streams` hashes are interleaved. As in the other kernels the sums K + W are shared by all midstates: the first pass
loads them and has no schedule.

x86's SHA instructions exist only in the legacy SSE encoding. On Intel cores they are many times slower while the upper
half of any vector register is dirty from earlier AVX code (measured on Sapphire Rapids: 0.11 MH/s instead of 21). So
each pass first clears the upper halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from solominer.engines.cpu.llvm_words import I32, I64, Words
from solominer.engines.cpu.looped import Scratch, expand
from solominer.engines.cpu.machine import this_machine
from solominer.engines.sha256.sha256d import DIGEST_PADDING, IV, LAST_ROUND, K, before_nonce
from solominer.engines.sha256.words import State, Word

__all__ = ["ARM", "X86", "Unit", "expand", "first_pass", "prepare", "second_pass"]

Pair = tuple[ir.Value, ir.Value]  # a state in the two vectors that the instructions use


@dataclass(frozen=True, slots=True)
class Unit:
    """One family of instructions: the words (a..h = 0..7) of a state in each of its two vectors."""

    left: tuple[int, ...]
    right: tuple[int, ...]

    def four_rounds(self, v: Words, state: Pair, sums: ir.Value) -> Pair:
        """Four rounds on their four sums K + W."""
        left, right = state
        if self is ARM:
            return (
                v.call("llvm.aarch64.crypto.sha256h", left, right, sums),
                v.call("llvm.aarch64.crypto.sha256h2", right, left, sums),
            )
        right = v.call("llvm.x86.sha256rnds2", right, left, sums)
        return v.call("llvm.x86.sha256rnds2", left, right, _pick(v, sums, sums, 2, 3, 2, 3)), right

    def last_e(self, v: Words, state: Pair, sums: ir.Value) -> ir.Value:
        """The word e after the first of the next four rounds, as an i32."""
        if self is ARM:  # three rounds later it is h
            return v.builder.extract_element(self.four_rounds(v, state, sums)[1], I32(3))
        left, right = state  # one round later it is f
        return v.builder.extract_element(v.call("llvm.x86.sha256rnds2", right, left, sums), I32(self.left.index(5)))

    def next_words(self, v: Words, m0: ir.Value, m1: ir.Value, m2: ir.Value, m3: ir.Value) -> ir.Value:
        """Four words of the schedule from the sixteen before them."""
        if self is ARM:
            partial = v.call("llvm.aarch64.crypto.sha256su0", m0, m1)
            return v.call("llvm.aarch64.crypto.sha256su1", partial, m2, m3)
        partial = v.builder.add(v.call("llvm.x86.sha256msg1", m0, m1), _pick(v, m2, m3, 1, 2, 3, 4))
        return v.call("llvm.x86.sha256msg2", partial, m3)

    def pack(self, words: Sequence[int]) -> Pair:
        """A known state as vectors."""
        v = Words(lanes=4)
        return v.constant(*(words[i] for i in self.left)), v.constant(*(words[i] for i in self.right))

    def digest(self, v: Words, state: Pair) -> list[ir.Value]:
        """The words a..d and e..h, as two vectors in order."""
        places = [*self.left, *self.right]
        return [_pick(v, *state, *(places.index(word) for word in words)) for words in (range(4), range(4, 8))]


X86 = Unit(left=(5, 4, 1, 0), right=(7, 6, 3, 2))
ARM = Unit(left=(0, 1, 2, 3), right=(4, 5, 6, 7))


def _pick(v: Words, x: ir.Value, y: ir.Value, *places: int) -> ir.Value:
    """Words of x (places 0..3) and y (4..7)."""
    return v.builder.shuffle_vector(x, y, v.constant(*places))


def clear_upper_halves(w: Words, unit: Unit) -> None:
    """`vzeroupper`, if the CPU has AVX; see the top of this file."""
    if unit is X86 and "avx" in this_machine().features:
        w.call("llvm.x86.avx.vzeroupper")


def prepare(w: Words, scratch: Scratch, slot: Word, midstate: State, tail: State, unit: Unit) -> None:
    """Rounds 0..3 of a midstate, stored with the midstate in `slot`, in the unit's order of words."""
    first = w.builder.mul(slot, I64(16))
    state = before_nonce(w, midstate, tail)
    order = [*unit.left, *unit.right]
    for index, word in enumerate([words[place] for words in (state, midstate) for place in order]):
        w.builder.store(word, w.builder.gep(scratch.prepared, [w.builder.add(first, I64(index))]))


def first_pass(w: Words, scratch: Scratch, slot: Word, streams: int, unit: Unit) -> None:
    """The first hash of `streams` midstates from `slot` on, stored in the digests."""
    clear_upper_halves(w, unit)
    v = Words(w.builder, 4)
    nonce_sum = w.load(scratch.sums, 3)
    made = [v.constant(*(MADE if word in (0, 4) else 0 for word in words)) for words in (unit.left, unit.right)]
    adds = [w.builder.and_(v.spread(nonce_sum), mask) for mask in made]
    vectors = [
        [v.load(scratch.prepared, _nth(w, slot, stream, 4, part)) for part in range(4)] for stream in range(streams)
    ]
    states: list[Pair] = [
        (w.builder.add(left, adds[0]), w.builder.add(right, adds[1])) for left, right, _, _ in vectors
    ]
    for group in range(1, 16):
        sums = v.load(scratch.sums, group)
        states = [unit.four_rounds(v, state, sums) for state in states]
    for stream, (state, (_, _, left, right)) in enumerate(zip(states, vectors, strict=True)):
        digest = unit.digest(v, (w.builder.add(state[0], left), w.builder.add(state[1], right)))
        for part, words in enumerate(digest):
            v.store(words, scratch.digests, _nth(w, slot, stream, 2, part))


def second_pass(w: Words, scratch: Scratch, slot: Word, streams: int, unit: Unit) -> list[ir.Value]:
    """The top words of the hash values of `streams` digests from `slot` on."""
    clear_upper_halves(w, unit)
    v = Words(w.builder, 4)
    padding = [v.constant(*DIGEST_PADDING[:4]), v.constant(*DIGEST_PADDING[4:])]
    schedules = [
        [*(v.load(scratch.digests, _nth(w, slot, stream, 2, part)) for part in range(2)), *padding]
        for stream in range(streams)
    ]
    states = [unit.pack(IV)] * streams
    for group in range(LAST_ROUND // 4):
        k = v.constant(*K[4 * group : 4 * group + 4])
        for stream, words in enumerate(schedules):
            states[stream] = unit.four_rounds(v, states[stream], w.builder.add(words[0], k))
            words.append(unit.next_words(v, *words[:4]))
            del words[0]
    k = v.constant(*K[LAST_ROUND : LAST_ROUND + 4])
    last = [unit.last_e(v, state, w.builder.add(words[0], k)) for state, words in zip(states, schedules, strict=True)]
    return [w.swap_bytes(w.add(word, IV[7])) for word in last]


MADE = 0xFFFFFFFF  # mask of the words that a round computes


def _nth(w: Words, slot: Word, stream: int, size: int, part: int) -> ir.Value:
    """The index of a vector, with `size` vectors per midstate."""
    return w.builder.add(w.builder.mul(w.builder.add(slot, I64(stream)), I64(size)), I64(part))
