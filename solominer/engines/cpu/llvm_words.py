"""32-bit words that are known at compile time, the same for every nonce, or one per nonce; arithmetic on all three.

A word is a Python int (*known*), an LLVM i32 (*uniform*: the same for every nonce) or an LLVM <lanes x i32>
(*varying*: one per nonce). `Words` keeps a word known or uniform for as long as possible and spreads it over the lanes
only when it is combined with a varying one, so the precomputation that miners write by hand happens automatically.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from llvmlite import ir

from solominer.engines.sha256.words import Integers, Word

I32 = ir.IntType(32)
I64 = ir.IntType(64)


class _Bits:
    """An LLVM value with Python's bit operators, so that a formula works for ints and for IR."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder = builder
        self.value = value

    def __and__(self, other: _Bits) -> _Bits:
        return _Bits(self.builder, self.builder.and_(self.value, other.value))

    def __or__(self, other: _Bits) -> _Bits:
        return _Bits(self.builder, self.builder.or_(self.value, other.value))

    def __xor__(self, other: _Bits) -> _Bits:
        return _Bits(self.builder, self.builder.xor(self.value, other.value))


class Words(Integers):
    """Arithmetic on words, emitted at `builder`; known words alone are computed.

    `ternary`: the CPU has AVX-512's vpternlogd, which computes any bitwise function of three words.
    """

    def __init__(self, builder: ir.IRBuilder | None = None, lanes: int = 1, *, ternary: bool = False) -> None:
        self.builder: Any = builder
        self.lanes = lanes
        self.ternary = ternary
        self.type = ir.VectorType(I32, lanes) if lanes > 1 else I32
        self.align = min(64, 4 * lanes)

    # Making words

    def constant(self, *values: int) -> ir.Constant:
        """A varying word: the same known value in every lane, or one value for each."""
        if self.lanes == 1:
            return I32(values[0])
        return ir.Constant(self.type, list(values) * (self.lanes if len(values) == 1 else 1))

    def spread(self, word: Word) -> ir.Value:
        """Any word as a varying one."""
        if isinstance(word, int):
            return self.constant(word)
        if word.type == self.type:
            return word
        undefined = ir.Constant(self.type, ir.Undefined)
        return self.builder.shuffle_vector(
            self.builder.insert_element(undefined, word, I32(0)), undefined, self.constant(0)
        )

    def load(self, words_at: ir.Value, index: Word) -> ir.Value:
        """Varying word number `index` of an array that starts at the i32 pointer `words_at`, aligned to 64 bytes."""
        value = self.builder.load(self._varying_at(words_at, index))
        value.align = self.align
        return value

    def store(self, word: Word, words_at: ir.Value, index: Word) -> None:
        """Store any word as varying word number `index`, the inverse of `load`."""
        self.builder.store(self.spread(word), self._varying_at(words_at, index)).align = self.align

    def _varying_at(self, words_at: ir.Value, index: Word) -> ir.Value:
        first = self.builder.bitcast(words_at, self.type.as_pointer())
        return self.builder.gep(first, [I64(index) if isinstance(index, int) else index])

    def load_uniform(self, words_at: ir.Value, index: Word) -> ir.Value:
        """Uniform word number `index` of an array of single words."""
        return self.builder.load(self.builder.gep(words_at, [I64(index) if isinstance(index, int) else index]))

    # Arithmetic

    def _known(self, *words: Word) -> bool:
        return all(isinstance(word, int) for word in words)

    def _varies(self, *words: Word) -> bool:
        return any(not isinstance(word, int) and word.type == self.type for word in words)

    def _alike(self, words: Sequence[Word]) -> list[ir.Value]:
        if self._varies(*words):
            return [self.spread(word) for word in words]
        return [I32(word) if isinstance(word, int) else word for word in words]

    def add(self, *words: Word) -> Word:
        """Sum modulo 2^32, left to right; words that do not vary are summed first, as scalars."""
        if self._known(*words):
            return super().add(*words)
        known = self.add(*(word for word in words if isinstance(word, int)))
        uniform = [word for word in words if not isinstance(word, int) and word.type == I32] + [known] * (known != 0)
        varying = [word for word in words if not isinstance(word, int) and word.type != I32]
        return reduce(self._add, [*varying[:1], reduce(self._add, uniform), *varying[1:]] if uniform else varying)

    def _add(self, x: Word, y: Word) -> Word:
        return self.builder.add(*self._alike([x, y]))

    def bitwise(self, formula: Callable[..., Any], *words: Word) -> Word:
        if self._known(*words):
            return super().bitwise(formula, *words)
        values = self._alike(words)
        if self.ternary and len(words) == 3 and self._varies(*words):
            truth_table = I32(formula(0xF0, 0xCC, 0xAA))
            return self.call(f"llvm.x86.avx512.pternlog.d.{32 * self.lanes}", *values, truth_table)
        return formula(*(_Bits(self.builder, value) for value in values)).value

    def shr(self, word: Word, count: int) -> Word:
        return super().shr(word, count) if self._known(word) else self.builder.lshr(word, self._count(word, count))

    def rotr(self, word: Word, count: int) -> Word:
        if self._known(word):
            return super().rotr(word, count)
        return self.call(self._overload("llvm.fshr", word), word, word, self._count(word, count))

    def swap_bytes(self, word: Word) -> Word:
        if self._known(word):
            return super().swap_bytes(word)
        return self.call(self._overload("llvm.bswap", word), word)

    def _count(self, word: ir.Value, count: int) -> ir.Constant:
        return I32(count) if word.type == I32 else self.constant(count)

    def _overload(self, intrinsic: str, word: ir.Value) -> str:
        return f"{intrinsic}.i32" if word.type == I32 else f"{intrinsic}.v{self.lanes}i32"

    def call(self, intrinsic: str, *values: ir.Value) -> ir.Value:
        """An LLVM intrinsic by its full name; the result has the type of the first operand (none: no result)."""
        module = self.builder.module
        signature = ir.FunctionType(values[0].type if values else ir.VoidType(), [value.type for value in values])
        function = module.globals.get(intrinsic) or ir.Function(module, signature, intrinsic)
        return self.builder.call(function, values)

    # Control

    def loop(
        self, numbers: range, carried: Sequence[ir.Value], body: Callable[[ir.Value, list[Word]], Sequence[Word]]
    ) -> list[Word]:
        """A loop of at least one iteration: `body(number, carried)` returns the next iteration's carried words."""
        before = self.builder.block
        block, after = (self.builder.append_basic_block(name) for name in ("rounds", "rounds.end"))
        self.builder.branch(block)
        self.builder.position_at_end(block)
        number = self.builder.phi(I64)
        words = [self.builder.phi(word.type) for word in carried]
        results = list(body(number, words))
        following = self.builder.add(number, I64(numbers.step))
        for phi, first, following_word in zip(
            [number, *words], [I64(numbers.start), *carried], [following, *results], strict=True
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(following_word, self.builder.block)
        self.builder.cbranch(self.builder.icmp_unsigned("<", following, I64(numbers.stop)), block, after)
        self.builder.position_at_end(after)
        return results
