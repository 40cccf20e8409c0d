"""What arithmetic on 32-bit words must offer to SHA-256, and the two kinds that compute: on integers and on arrays.

`sha256d` is written for any `Arithmetic`: given words that stand for values of a program, it writes the program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, Protocol

import numpy as np

Word = Any  # whatever an Arithmetic computes with; every kind takes Python ints too
State = list[Word]

MASK = 0xFFFFFFFF


class Arithmetic(Protocol):
    """Operations on 32-bit words."""

    def add(self, *words: Word) -> Word:
        """Sum modulo 2^32."""

    def bitwise(self, formula: Callable[..., Any], *words: Word) -> Word:
        """A formula of `&`, `|` and `^` on words."""

    def rotr(self, word: Word, count: int) -> Word:
        """Rotated right by `count` bits."""

    def shr(self, word: Word, count: int) -> Word:
        """Shifted right by `count` bits."""

    def swap_bytes(self, word: Word) -> Word:
        """The word's four bytes in reverse."""


class Integers:
    """Python ints."""

    def add(self, *words: Word) -> Word:
        return sum(words) & MASK

    def bitwise(self, formula: Callable[..., Any], *words: Word) -> Word:
        return formula(*words)

    def rotr(self, word: Word, count: int) -> Word:
        return (word >> count | word << 32 - count) & MASK

    def shr(self, word: Word, count: int) -> Word:
        return word >> count

    def swap_bytes(self, word: Word) -> Word:
        return int.from_bytes(word.to_bytes(4, "big"), "little")


class Arrays:
    """NumPy arrays of uint32, element by element."""

    def add(self, *words: Word) -> Word:
        return reduce(lambda x, y: x + y, (_array(word) for word in words))

    def bitwise(self, formula: Callable[..., Any], *words: Word) -> Word:
        return formula(*(_array(word) for word in words))

    def rotr(self, word: Word, count: int) -> Word:
        return _array(word) >> np.uint32(count) | _array(word) << np.uint32(32 - count)

    def shr(self, word: Word, count: int) -> Word:
        return _array(word) >> np.uint32(count)

    def swap_bytes(self, word: Word) -> Word:
        return _array(word).byteswap()


def _array(word: Word) -> Any:
    return np.array([word], np.uint32) if isinstance(word, int) else word
