"""The orders in which nonce chunks can be visited. Each is a permutation of 0..size-1, computable both ways.

Nothing is stored per chunk, so an order of 2**32 chunks costs as little as one of ten. No order improves the odds of
SHA-256d; orders exist so that a search is complete, reproducible and checkable.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

_MASK64 = (1 << 64) - 1
_FEISTEL_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Order(ABC):
    """A permutation of the chunks 0..size-1."""

    size: int

    def at(self, i: int) -> int:
        """The chunk visited at position i. Raises IndexError outside 0..size-1."""
        return self._at(self._checked(i))

    def position_of(self, chunk: int) -> int:
        """The position at which the chunk is visited. Raises IndexError outside 0..size-1."""
        return self._position_of(self._checked(chunk))

    def _checked(self, value: int) -> int:
        if not 0 <= value < self.size:
            raise IndexError(f"{value} is outside 0..{self.size - 1}")
        return value

    @abstractmethod
    def _at(self, i: int) -> int: ...

    @abstractmethod
    def _position_of(self, chunk: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Sequential(Order):
    """0, 1, 2, …"""

    def _at(self, i: int) -> int:
        return i

    def _position_of(self, chunk: int) -> int:
        return chunk


@dataclass(frozen=True, slots=True)
class Strided(Order):
    """Every stride-th chunk: 0, s, 2s, …, then 1, 1 + s, … Raises ValueError unless 1 <= stride <= size."""

    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.size:
            raise ValueError(f"stride {self.stride} is not in 1..{self.size}, the number of chunks")

    def _at(self, i: int) -> int:
        rows, longer = divmod(self.size, self.stride)  # the first `longer` columns hold one chunk more
        if i < longer * (rows + 1):
            column, row = divmod(i, rows + 1)
        else:
            column, row = divmod(i - longer * (rows + 1), rows)
            column += longer
        return column + row * self.stride

    def _position_of(self, chunk: int) -> int:
        row, column = divmod(chunk, self.stride)
        rows, longer = divmod(self.size, self.stride)
        return column * rows + min(column, longer) + row


@dataclass(frozen=True, slots=True)
class Knuth(Order):
    """The linear congruential order x -> (multiplier * x + increment) mod size, from `start`.

    It has full period if and only if (Knuth, TAOCP 2, 3.2.1.2, theorem A; Hull and Dobell, 1962) the increment is
    coprime to the size, and multiplier - 1 is a multiple of every prime factor of the size, and of 4 if the size is.
    Otherwise raises ValueError with the condition that fails.
    """

    multiplier: int
    increment: int
    start: int = 0
    _primes: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_primes", prime_factors(self.size))
        _check_full_period(self.size, self.multiplier, self.increment)
        if not 0 <= self.start < self.size:
            raise ValueError(f"start {self.start} is not in 0..{self.size - 1}")

    def _at(self, i: int) -> int:
        return self._step(i, self.start, self.size)

    def _position_of(self, chunk: int) -> int:
        """O(log**2 size): modulo p**e the order has period p**e, so the position is found digit by digit in base p, and
        the Chinese remainder theorem joins the primes."""
        position, modulus = 0, 1
        for p in self._primes:
            part, low = self._position_modulo(chunk, p)
            position += modulus * ((part - position) * pow(modulus, -1, low) % low)
            modulus *= low
        return position

    def _step(self, count: int, x: int, modulus: int) -> int:
        """x after `count` steps modulo `modulus` (which divides size), by repeated squaring of the step."""
        a, c = self.multiplier % modulus, self.increment % modulus
        while count:
            if count & 1:
                x = (a * x + c) % modulus
            a, c = a * a % modulus, (a * c + c) % modulus
            count >>= 1
        return x % modulus

    def _position_modulo(self, chunk: int, p: int) -> tuple[int, int]:
        """The position modulo the highest power of p that divides size, and that power.

        With the lower digits right, p**k steps add a constant multiple of p**k modulo p**(k+1).
        """
        position, power = 0, 1
        while self.size % (power * p) == 0:
            following = power * p
            here = self._step(position, self.start, following)
            gain = (self._step(power, here, following) - here) % following // power
            position += power * ((chunk - here) % following // power * pow(gain, -1, p) % p)
            power = following
        return position, power


@dataclass(frozen=True, slots=True)
class VanDerCorput(Order):
    """Bit-reversed counting: halves, quarters, eighths, …; values >= size are skipped.

    The counter's highest bit is the chunk's lowest. Going down the counter's bits, all chunks that agree so far are one
    residue modulo a power of two; how many of them come first is a division, so both directions take O(log size).
    """

    def _at(self, i: int) -> int:
        residue, modulus = 0, 1
        while modulus < self.size:
            even = self._members(residue, 2 * modulus)
            if i >= even:
                i -= even
                residue += modulus
            modulus *= 2
        return residue

    def _position_of(self, chunk: int) -> int:
        position, modulus = 0, 1
        while modulus < self.size:
            if chunk & modulus:
                position += self._members(chunk & (modulus - 1), 2 * modulus)
            modulus *= 2
        return position

    def _members(self, residue: int, modulus: int) -> int:
        """How many chunks have this residue."""
        return max(0, (self.size - residue + modulus - 1) // modulus)


@dataclass(frozen=True, slots=True)
class Shuffled(Order):
    """A seeded pseudorandom order: a Feistel network over the next power of four, repeated until it lands below size.

    The same seed gives the same order on every machine; it is not cryptographic. Raises ValueError for a negative seed.
    """

    seed: int
    _keys: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError("seed must not be negative")
        digests = (sha256(f"{self.seed}/{r}".encode()).digest() for r in range(_FEISTEL_ROUNDS))
        object.__setattr__(self, "_keys", tuple(int.from_bytes(d[:8], "little") for d in digests))

    def _at(self, i: int) -> int:
        return self._walk(i, forward=True)

    def _position_of(self, chunk: int) -> int:
        return self._walk(chunk, forward=False)

    def _walk(self, value: int, *, forward: bool) -> int:
        """Permute until the value is a chunk; it ends, since the cycle that began at a chunk returns to it."""
        half = ((self.size - 1).bit_length() + 1) // 2
        mask = (1 << half) - 1
        while True:
            left, right = value >> half, value & mask
            if forward:
                for key in self._keys:
                    left, right = right, left ^ _mix(right, key) & mask
            else:
                for key in reversed(self._keys):
                    left, right = right ^ _mix(left, key) & mask, left
            value = left << half | right
            if value < self.size:
                return value


ORDERS: dict[str, tuple[Callable[..., Order], tuple[str, ...]]] = {
    "sequential": (Sequential, ()),
    "strided": (Strided, ("stride",)),
    "knuth": (Knuth, ("multiplier", "increment", "start")),
    "van-der-corput": (VanDerCorput, ()),
    "shuffled": (Shuffled, ("seed",)),
}
"""The orders of plan.yaml, with the parameters that each takes after the number of chunks."""


def _mix(value: int, key: int) -> int:
    """The round function: 64 bits, mixed by two multiplications with odd constants (as in SplitMix64)."""
    z = (value + key) & _MASK64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK64
    return z ^ z >> 31


def prime_factors(n: int) -> tuple[int, ...]:
    """The primes that divide n, ascending, by trial division: instant up to 2**32."""
    primes, p = [], 2
    while p * p <= n:
        if n % p == 0:
            primes.append(p)
            while n % p == 0:
                n //= p
        p += 1 if p == 2 else 2
    return (*primes, n) if n > 1 else tuple(primes)


def multiplier_step(size: int) -> int:
    """What multiplier - 1 must be a multiple of for full period: the size's prime factors, and 4 if 4 divides size."""
    return math.prod(prime_factors(size)) * (2 if size % 4 == 0 else 1)


def _check_full_period(size: int, multiplier: int, increment: int) -> None:
    """Raise ValueError with the first condition of the theorem that fails."""
    if math.gcd(increment, size) != 1:
        raise ValueError(f"increment {increment} and the {size} chunks are not coprime (theorem A, condition i)")
    for p in prime_factors(size):
        if (multiplier - 1) % p:
            raise ValueError(f"multiplier - 1 = {multiplier - 1} is not a multiple of {p} (theorem A, condition ii)")
    if size % 4 == 0 and (multiplier - 1) % 4:
        raise ValueError(f"multiplier - 1 = {multiplier - 1} is not a multiple of 4 (theorem A, condition iii)")
