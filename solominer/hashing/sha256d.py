"""SHA-256d of a block header, round by round (FIPS 180-4), written once for every kernel.

A word is one of three things: a Python int (known now), an LLVM i32 (*uniform*: the same for every nonce of
the job) or an LLVM <lanes x i32> (*varying*: one per nonce). `Words` keeps a word uniform for as long as it
can and spreads it over the lanes only where it meets a varying one, so the precomputation that miners write by
hand (the first rounds, the constant schedule words, the K + W sums) falls out by itself.

All words are big-endian reads of the header's bytes, as SHA-256 takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

from llvmlite import ir

Word = Any  # int | ir.Value of type i32 | ir.Value of type <lanes x i32>

I32 = ir.IntType(32)
MASK = 0xFFFFFFFF


def _root_bits(degree: int, prime: int) -> int:
    """The first 32 bits behind the point of a prime's square (2) or cube (3) root, exactly."""
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= prime << 32 * degree else (low, middle)
    return low & MASK


PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
K = tuple(_root_bits(3, prime) for prime in PRIMES)
IV = tuple(_root_bits(2, prime) for prime in PRIMES[:8])


class Words:
    """32-bit arithmetic on words of all three kinds; what is not known now is emitted at `builder`."""

    def __init__(self, builder: ir.IRBuilder | None = None, lanes: int = 1) -> None:
        self.builder = builder
        self.type = ir.VectorType(I32, lanes) if lanes > 1 else I32
        self.lanes = lanes

    def constant(self, value: int) -> ir.Constant:
        """A known word in every lane."""
        return ir.Constant(self.type, [value] * self.lanes if self.lanes > 1 else value)

    def spread(self, word: Word) -> ir.Value:
        """Any word in every lane."""
        if isinstance(word, int):
            return self.constant(word)
        if word.type == self.type:
            return word
        one = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), word, I32(0))
        return self.builder.shuffle_vector(one, ir.Constant(self.type, ir.Undefined), self.constant(0))

    def _alike(self, *words: Word) -> list[ir.Value]:
        """The words as values of one type: uniform if all are, else varying."""
        if any(not isinstance(word, int) and word.type == self.type for word in words):
            return [self.spread(word) for word in words]
        return [I32(word) if isinstance(word, int) else word for word in words]

    def _known(self, *words: Word) -> bool:
        return all(isinstance(word, int) for word in words)

    def add(self, *words: Word) -> Word:
        """Sum modulo 2^32, known and uniform parts first, so that they cost at most one vector addition."""
        known = sum(word for word in words if isinstance(word, int)) & MASK
        if self._known(*words):
            return known
        values = [word for word in words if not isinstance(word, int)]
        uniform = [value for value in values if value.type == I32] + ([known] if known else [])
        varying = [value for value in values if value.type != I32]
        if uniform:
            varying.insert(1, reduce(self._add, uniform))
        return reduce(self._add, varying)

    def _add(self, x: Word, y: Word) -> Word:
        return self.builder.add(*self._alike(x, y))

    def xor(self, *words: Word) -> Word:
        """Bitwise exclusive or."""
        if self._known(*words):
            return reduce(lambda x, y: x ^ y, words)
        return reduce(self.builder.xor, self._alike(*words))

    def land(self, x: Word, y: Word) -> Word:
        """Bitwise and."""
        return x & y if self._known(x, y) else self.builder.and_(*self._alike(x, y))

    def shr(self, x: Word, count: int) -> Word:
        """Shifted right by `count` bits."""
        return x >> count if self._known(x) else self.builder.lshr(*self._same(x, count))

    def rotr(self, x: Word, count: int) -> Word:
        """Rotated right by `count` bits."""
        if self._known(x):
            return (x >> count | x << 32 - count) & MASK
        x, by = self._same(x, count)
        return self.call("llvm.fshr", x, x, by)

    def load(self, pointer: ir.Value) -> Word:
        """The varying word stored at a pointer to its first lane, which is aligned to 64 bytes."""
        value = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
        value.align = min(64, 4 * self.lanes)
        return value

    def store(self, word: Word, pointer: ir.Value) -> None:
        """Write any word, varying or not, to where `load` will find it."""
        self.builder.store(self.spread(word), self.builder.bitcast(pointer, self.type.as_pointer())).align = min(
            64, 4 * self.lanes
        )

    def call(self, intrinsic: str, *values: ir.Value) -> ir.Value:
        """An LLVM intrinsic that is overloaded on the type of its operands."""
        kind = values[0].type
        name = f"{intrinsic}.v{kind.count}i32" if isinstance(kind, ir.VectorType) else f"{intrinsic}.i32"
        found = self.builder.module.globals.get(name)
        signature = ir.FunctionType(kind, [kind] * len(values))
        return self.builder.call(found or ir.Function(self.builder.module, signature, name), values)

    def _same(self, x: ir.Value, count: int) -> tuple[ir.Value, ir.Constant]:
        return x, I32(count) if x.type == I32 else self.constant(count)


def big_sigma0(w: Words, a: Word) -> Word:
    return w.xor(w.rotr(a, 2), w.rotr(a, 13), w.rotr(a, 22))


def big_sigma1(w: Words, e: Word) -> Word:
    return w.xor(w.rotr(e, 6), w.rotr(e, 11), w.rotr(e, 25))


def small_sigma0(w: Words, x: Word) -> Word:
    return w.xor(w.rotr(x, 7), w.rotr(x, 18), w.shr(x, 3))


def small_sigma1(w: Words, x: Word) -> Word:
    return w.xor(w.rotr(x, 17), w.rotr(x, 19), w.shr(x, 10))


def choose(w: Words, e: Word, f: Word, g: Word) -> Word:
    return w.xor(g, w.land(e, w.xor(f, g)))


def majority(w: Words, a: Word, b: Word, c: Word) -> Word:
    return w.xor(b, w.land(w.xor(a, b), w.xor(b, c)))


def schedule(w: Words, block: Sequence[Word]) -> Iterator[Word]:
    """The 64 words W of a 16-word block, each made when it is asked for."""
    words = list(block)
    yield from words
    for t in range(16, 64):
        words.append(w.add(words[t - 16], small_sigma0(w, words[t - 15]), words[t - 7], small_sigma1(w, words[t - 2])))
        yield words[t]


def one_round(w: Words, state: Sequence[Word], kw: Word) -> list[Word]:
    """One round: `state` is (a, ..., h), `kw` the sum K + W."""
    a, b, c, d, e, f, g, h = state
    t1 = w.add(h, kw, choose(w, e, f, g), big_sigma1(w, e))
    return [w.add(t1, majority(w, a, b, c), big_sigma0(w, a)), a, b, c, w.add(d, t1), e, f, g]


def compress(w: Words, before: Sequence[Word], block: Sequence[Word]) -> list[Word]:
    """The state after a whole block of 16 words."""
    state = before
    for k, word in zip(K, schedule(w, block), strict=True):
        state = one_round(w, state, w.add(k, word))
    return [w.add(old, new) for old, new in zip(before, state, strict=True)]


def header_schedule(w: Words, tail: Sequence[Word], nonce: ir.Value) -> Iterator[Word]:
    """The 64 sums K + W of a header's second block, for the nonces `nonce`, `nonce` + 1, ... one per lane.

    `nonce` is nNonce, so its bytes are swapped to make the word that SHA-256 reads. Version rolling changes only
    the first block: these words are the same for every midstate (BIP 320).
    """
    lanes = ir.Constant(w.type, list(range(w.lanes)) if w.lanes > 1 else 0)
    nonces = w.call("llvm.bswap", w.builder.add(w.spread(nonce), lanes))
    block = [*tail, nonces, 0x80000000, *[0] * 10, 80 * 8]
    return (w.add(k, word) for k, word in zip(K, schedule(w, block), strict=True))


def last_word(w: Words, midstate: Sequence[Word], kws: Iterable[Word]) -> Word:
    """Word 7 of SHA-256d: the second block from its sums K + W on, then the hash of that hash.

    What is e after round 60 is h after round 63: the last three rounds and the last three words are not needed.
    """
    state = list(midstate)
    for kw in kws:
        state = one_round(w, state, kw)
    digest = [w.add(after, before) for after, before in zip(state, midstate, strict=True)]
    state = list(IV)
    for k, word in zip(K[:61], schedule(w, [*digest, 0x80000000, *[0] * 6, 32 * 8]), strict=False):
        state = one_round(w, state, w.add(k, word))
    return w.add(state[4], IV[7])
