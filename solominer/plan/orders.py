"""The orders in which nonce chunks can be visited. Each is a permutation of 0..size-1, computable both ways.

`order.at(i)` is the chunk visited at position i, `order.position_of(chunk)` its inverse: no list is kept, so an order
of 2**32 chunks costs as little as one of ten. No order improves the odds: the hashes of SHA-256d do not know in which
order they are asked for. Orders are for being complete, reproducible and checkable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

_MASK64 = (1 << 64) - 1
_FEISTEL_ROUNDS = 6


class Order(Protocol):
    """A permutation of 0..size-1."""

    @property
    def size(self) -> int:
        """How many chunks there are."""

    def at(self, i: int) -> int:
        """The chunk visited at position i. Raises IndexError outside 0..size-1."""

    def position_of(self, chunk: int) -> int:
        """The position at which the chunk is visited. Raises IndexError outside 0..size-1."""


def _check(value: int, size: int) -> None:
    if not 0 <= value < size:
        raise IndexError(f"{value} is outside 0..{size - 1}")


@dataclass(frozen=True, slots=True)
class Sequential:
    """0, 1, 2, …"""

    size: int

    def at(self, i: int) -> int:
        """The chunk visited at position i."""
        _check(i, self.size)
        return i

    def position_of(self, chunk: int) -> int:
        """The position at which the chunk is visited."""
        _check(chunk, self.size)
        return chunk


@dataclass(frozen=True, slots=True)
class Strided:
    """0, s, 2s, … then 1, 1 + s, … and so on: every s-th chunk. Raises ValueError unless 1 <= stride <= size."""

    size: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.size:
            raise ValueError(f"stride {self.stride} is not in 1..{self.size}, the number of chunks")

    def at(self, i: int) -> int:
        """The chunk visited at position i."""
        _check(i, self.size)
        rows, longer = divmod(self.size, self.stride)  # the first `longer` columns hold one chunk more
        if i < longer * (rows + 1):
            column, row = divmod(i, rows + 1)
        else:
            column, row = divmod(i - longer * (rows + 1), rows)
            column += longer
        return column + row * self.stride

    def position_of(self, chunk: int) -> int:
        """The position at which the chunk is visited."""
        _check(chunk, self.size)
        row, column = divmod(chunk, self.stride)
        rows, longer = divmod(self.size, self.stride)
        return column * rows + min(column, longer) + row


@dataclass(frozen=True, slots=True)
class Knuth:
    """The linear congruential order x -> (multiplier * x + increment) mod size, from `start`.

    Its period is full if and only if (Knuth, TAOCP 2, 3.2.1.2, theorem A; Hull and Dobell, 1962) the increment is prime
    to the size, multiplier - 1 is a multiple of every prime that divides the size, and of 4 if the size is. Anything
    else raises ValueError with the condition that fails.
    """

    size: int
    multiplier: int
    increment: int
    start: int = 0
    _primes: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_primes", prime_factors(self.size))
        _check_full_period(self.size, self.multiplier, self.increment)
        if not 0 <= self.start < self.size:
            raise ValueError(f"start {self.start} is not in 0..{self.size - 1}")

    def at(self, i: int) -> int:
        """The chunk visited at position i: the step, squared and multiplied together like a power, O(log i)."""
        _check(i, self.size)
        return self._step(i, self.start, self.size)

    def position_of(self, chunk: int) -> int:
        """The position at which the chunk is visited, O(log**2 size).

        Modulo p**e the order has period p**e, so the position is found digit by digit in base p: with the lower digits
        right, p**k steps add a constant multiple of p**k modulo p**(k+1). The Chinese remainder theorem joins the rest.
        """
        _check(chunk, self.size)
        position, modulus = 0, 1
        for p in self._primes:
            part, low = self._position_modulo(chunk, p)
            position += modulus * ((part - position) * pow(modulus, -1, low) % low)
            modulus *= low
        return position

    def _step(self, count: int, x: int, modulus: int) -> int:
        """x after `count` steps, modulo `modulus` (which divides size)."""
        a, c = self.multiplier % modulus, self.increment % modulus
        while count:
            if count & 1:
                x = (a * x + c) % modulus
            a, c = a * a % modulus, (a * c + c) % modulus
            count >>= 1
        return x % modulus

    def _position_modulo(self, chunk: int, p: int) -> tuple[int, int]:
        """The position modulo the highest power of p that divides size, and that power."""
        position, power = 0, 1
        while self.size % (power * p) == 0:
            following = power * p
            here = self._step(position, self.start, following)
            gain = (self._step(power, here, following) - here) % following // power
            position += power * ((chunk - here) % following // power * pow(gain, -1, p) % p)
            power = following
        return position, power


@dataclass(frozen=True, slots=True)
class VanDerCorput:
    """Bit-reversed counting: halves, quarters, eighths, …; where size is no power of two, what is too large is skipped.

    The counter's highest bit is the chunk's lowest. Going down the counter's bits, all chunks that agree so far are one
    residue modulo a power of two; how many of them come first is a division, so both directions take O(log size).
    """

    size: int

    def at(self, i: int) -> int:
        """The chunk visited at position i."""
        _check(i, self.size)
        residue, modulus = 0, 1
        while modulus < self.size:
            even = self._members(residue, 2 * modulus)
            if i >= even:
                i -= even
                residue += modulus
            modulus *= 2
        return residue

    def position_of(self, chunk: int) -> int:
        """The position at which the chunk is visited."""
        _check(chunk, self.size)
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
class Shuffled:
    """A seeded pseudorandom order: a Feistel network over the next power of four, walked until it lands below size.

    It is for variety, not for secrecy. The same seed gives the same order on every machine. `seed` is any integer >= 0.
    """

    size: int
    seed: int
    _keys: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError("a seed is not negative")
        digests = (sha256(f"{self.seed}/{r}".encode()).digest() for r in range(_FEISTEL_ROUNDS))
        object.__setattr__(self, "_keys", tuple(int.from_bytes(d[:8], "little") for d in digests))

    def at(self, i: int) -> int:
        """The chunk visited at position i."""
        _check(i, self.size)
        return self._walk(i, forward=True)

    def position_of(self, chunk: int) -> int:
        """The position at which the chunk is visited."""
        _check(chunk, self.size)
        return self._walk(chunk, forward=False)

    def _walk(self, value: int, *, forward: bool) -> int:
        """Permute until the value is a chunk again; a permutation cannot run into a cycle without one."""
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


def _mix(value: int, key: int) -> int:
    """A round's function: 64 bits, well stirred by two multiplications with odd constants (as in SplitMix64)."""
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
    """What multiplier - 1 must be a multiple of for the full period: the size's primes, and 4 if 4 divides the size."""
    return math.prod(prime_factors(size)) * (2 if size % 4 == 0 else 1)


def _check_full_period(size: int, multiplier: int, increment: int) -> None:
    """Raise ValueError with the first condition of the theorem that fails."""
    if math.gcd(increment, size) != 1:
        raise ValueError(f"increment {increment} shares a factor with the {size} chunks (theorem A, condition i)")
    for p in prime_factors(size):
        if (multiplier - 1) % p:
            raise ValueError(f"multiplier - 1 = {multiplier - 1} is no multiple of {p} (theorem A, condition ii)")
    if size % 4 == 0 and (multiplier - 1) % 4:
        raise ValueError(f"multiplier - 1 = {multiplier - 1} is no multiple of 4 (theorem A, condition iii)")
