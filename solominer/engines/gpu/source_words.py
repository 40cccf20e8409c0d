"""Words of a kernel in C: known when it is written, computed by the host, or one per nonce; arithmetic on all three.

A word is a Python int, a `Uniform` (the same for every nonce) or a `Varying` (the name of a C variable). Operations on
uniform words are not written into the kernel but remembered: the host does them on NumPy arrays, and the kernel is
given the results that it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solominer.engines.sha256.words import Arrays, Integers, Word


@dataclass(frozen=True, slots=True, eq=False)
class Uniform:
    """A word that the host computes: an input, or an operation of `Arithmetic` on other words.

    `per_midstate`: it differs between the midstates of a launch.
    """

    per_midstate: bool
    operation: str
    operands: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Varying:
    """A C expression without side effects: a variable, or a formula of variables."""

    text: str

    def __and__(self, other: Varying) -> Varying:
        return Varying(f"({self.text} & {other.text})")

    def __or__(self, other: Varying) -> Varying:
        return Varying(f"({self.text} | {other.text})")

    def __xor__(self, other: Varying) -> Varying:
        return Varying(f"({self.text} ^ {other.text})")


@dataclass(frozen=True, slots=True)
class Products:
    """The parts (0 to 1) of additions, of shifts, and of pairs of rotations of a word, that are products.

    A rotation by a product gives its two halves. XORing them costs an operation more, unless there are two such pairs:
    five words are XORed in two three-input operations, as four are.
    """

    additions: float = 0.0
    shifts: float = 0.0
    rotations: float = 0.0


class SourceWords(Integers):
    """Writes C statements to `lines`. Uniform words that they use are collected in `job` and `midstate`.

    `products`: the parts of the operations that are written as products with a power of two that no compiler knows,
    because it comes from an argument, `one`: NVIDIA's cards do those on the multipliers, beside the adders.
    """

    def __init__(self, products: Products) -> None:
        self.products = products
        self.lines: list[str] = []
        self.job: list[Uniform] = []
        self.midstate: list[Uniform] = []
        self._variables = 0
        self._owed = {"additions": 0.0, "shifts": 0.0, "rotations": 0.0}
        self._to_rotate: dict[str, int] = {}  # by variable: how many of its rotations are still to be products

    def varying(self, expression: str) -> Varying:
        """A new variable of that value."""
        self._variables += 1
        self.lines.append(f"const uint v{self._variables} = {expression};")
        return Varying(f"v{self._variables}")

    def text(self, word: Word) -> str:
        """A word as a C expression."""
        if isinstance(word, int):
            return f"0x{word:08x}u"
        if isinstance(word, Varying):
            return word.text
        name, words = ("m", self.midstate) if word.per_midstate else ("j", self.job)
        if word not in words:
            words.append(word)
        return f"{name}{words.index(word)}"

    def add(self, *words: Word) -> Word:
        varying = [word for word in words if isinstance(word, Varying)]
        rest = self._sum_of_rest([word for word in words if not isinstance(word, Varying)])
        if not varying:
            return rest
        addends = [*varying[:1], rest, *varying[1:]] if rest != 0 else varying
        return reduce(self._add, addends)

    def _sum_of_rest(self, words: Sequence[Word]) -> Word:
        known = super().add(*(word for word in words if isinstance(word, int)))
        uniform = [word for word in words if isinstance(word, Uniform)]
        addends = [*uniform, known] if known else uniform
        if not addends:
            return 0
        return addends[0] if len(addends) == 1 else self._remembered("add", *addends)

    def _add(self, x: Word, y: Word) -> Word:
        factor = " * one" if self._due("additions") else ""
        return self.varying(f"{self.text(x)}{factor} + {self.text(y)}")

    def _due(self, kind: str) -> bool:
        """Whether the next operation of this kind is to be a product."""
        owed = self._owed[kind] + getattr(self.products, kind)
        self._owed[kind] = owed - (owed >= 1)
        return bool(owed >= 1)

    def bitwise(self, formula: Callable[..., Any], *words: Word) -> Word:
        if self._varies(*words):
            return self.varying(formula(*(Varying(self.text(word)) for word in words)).text)
        return super().bitwise(formula, *words) if self._known(*words) else self._remembered("bitwise", formula, *words)

    def rotr(self, word: Word, count: int) -> Word:
        if self._varies(word):
            return self._rotated(word, count)
        return super().rotr(word, count) if self._known(word) else self._remembered("rotr", word, count)

    def _rotated(self, word: Varying, count: int) -> Varying:
        left = self._to_rotate.get(word.text)
        if left is None:
            left = self._to_rotate[word.text] = 2 * self._due("rotations")
        if not left:
            return self.varying(f"ROTR({word.text}, {count})")
        self._to_rotate[word.text] -= 1
        factor = f"(one << {32 - count})"
        return self.varying(f"{word.text} * {factor}") ^ self.varying(f"MUL_HI({word.text}, {factor})")

    def shr(self, word: Word, count: int) -> Word:
        if self._varies(word):
            product = self._due("shifts")
            return self.varying(f"MUL_HI({word.text}, one << {32 - count})" if product else f"{word.text} >> {count}")
        return super().shr(word, count) if self._known(word) else self._remembered("shr", word, count)

    def swap_bytes(self, word: Word) -> Word:
        if self._varies(word):
            return self.varying(f"SWAP_BYTES({self.text(word)})")
        return super().swap_bytes(word) if self._known(word) else self._remembered("swap_bytes", word)

    def _known(self, *words: Word) -> bool:
        return all(isinstance(word, int) for word in words)

    def _varies(self, *words: Word) -> bool:
        return any(isinstance(word, Varying) for word in words)

    def _remembered(self, operation: str, *operands: Any) -> Uniform:
        return Uniform(any(isinstance(each, Uniform) and each.per_midstate for each in operands), operation, operands)


def compute(words: Sequence[Uniform], inputs: dict[Uniform, NDArray[np.uint32]]) -> list[NDArray[np.uint32]]:
    """The values of uniform words from those of the inputs, on arrays with one element per midstate (or one)."""
    arithmetic, values = Arrays(), dict(inputs)

    def value(word: Any) -> Any:
        if not isinstance(word, Uniform):
            return word
        if word not in values:
            values[word] = getattr(arithmetic, word.operation)(*map(value, word.operands))
        return values[word]

    return [value(word) for word in words]
