"""The passes of `looped` combined: both hashes of all midstates, every round unrolled, without loops or memory.

This is how miners are usually written. It is the plain kernel that the others are compared with.
"""

from __future__ import annotations

from llvmlite import ir

from solominer.engines.cpu.llvm_words import I64, Words
from solominer.engines.cpu.looped import Scratch, prepare
from solominer.engines.sha256.sha256d import (
    DIGEST_PADDING,
    IV,
    LAST_ROUND,
    K,
    header_sums,
    one_round,
    schedule,
    top_word,
    with_nonce,
)
from solominer.engines.sha256.words import State, Word

__all__ = ["expand", "first_pass", "prepare", "second_pass"]


def expand(w: Words, scratch: Scratch, tail: State, nonce: ir.Value) -> None:
    """Store the tail and the nonces for `second_pass`, which does the rest."""
    nonces = w.builder.add(w.spread(nonce), w.constant(*range(w.lanes)))
    for index, word in enumerate([*tail, nonces]):
        w.store(word, scratch.sums, index)


def first_pass(w: Words, scratch: Scratch, slot: Word, streams: int) -> None:
    """Nothing: see `second_pass`."""


def second_pass(w: Words, scratch: Scratch, slot: Word, streams: int) -> list[ir.Value]:
    """The top words of the hash values of `streams` midstates from `slot` on."""
    tail = [w.load_uniform(scratch.sums, index * w.lanes) for index in range(3)]
    prepared = [
        [
            w.load_uniform(scratch.prepared, w.builder.add(w.builder.mul(slot, I64(16)), I64(16 * stream + index)))
            for index in range(16)
        ]
        for stream in range(streams)
    ]
    states: list[State] = []
    for t, word_sum in enumerate(header_sums(w, tail, w.load(scratch.sums, 3))):
        if t == 3:
            states = [with_nonce(w, words[:8], word_sum) for words in prepared]
        elif t > 3:
            states = [one_round(w, state, word_sum) for state in states]
    digests = [
        [w.add(new, old) for new, old in zip(state, words[8:], strict=True)]
        for state, words in zip(states, prepared, strict=True)
    ]
    schedules = [schedule(w, [*digest, *DIGEST_PADDING]) for digest in digests]
    states = [list(IV)] * streams
    for t in range(LAST_ROUND + 1):
        states = [one_round(w, state, w.add(K[t], next(words))) for state, words in zip(states, schedules, strict=True)]
    return [top_word(w, state) for state in states]
