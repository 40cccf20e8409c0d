"""SHA-256d of a block header, round by round (FIPS 180-4), written once for all kernels and all word types.

Words are big-endian reads of the header's bytes, as in SHA-256. With Python ints these functions compute, with words
that stand for a program's values (LLVM's, or a graphics card's) they emit code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from solominer.engines.sha256.words import MASK, Arithmetic, State, Word


def _root_bits(degree: int, prime: int) -> int:
    """The first 32 fractional bits of a prime's square (2) or cube (3) root."""
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= prime << 32 * degree else (low, middle)
    return low & MASK


PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
K = tuple(_root_bits(3, prime) for prime in PRIMES)
IV = tuple(_root_bits(2, prime) for prime in PRIMES[:8])

HEADER_PADDING = (0x80000000, *[0] * 10, 80 * 8)  # words 4..15 of a header's second block
DIGEST_PADDING = (0x80000000, *[0] * 6, 32 * 8)  # words 8..15 of the block that holds a digest
LAST_ROUND = 60  # its e is h after round 63, from which the hash's top word is computed


def big_sigma0(w: Arithmetic, a: Word) -> Word:
    return w.bitwise(lambda x, y, z: x ^ y ^ z, w.rotr(a, 2), w.rotr(a, 13), w.rotr(a, 22))


def big_sigma1(w: Arithmetic, e: Word) -> Word:
    return w.bitwise(lambda x, y, z: x ^ y ^ z, w.rotr(e, 6), w.rotr(e, 11), w.rotr(e, 25))


def small_sigma0(w: Arithmetic, x: Word) -> Word:
    return w.bitwise(lambda x, y, z: x ^ y ^ z, w.rotr(x, 7), w.rotr(x, 18), w.shr(x, 3))


def small_sigma1(w: Arithmetic, x: Word) -> Word:
    return w.bitwise(lambda x, y, z: x ^ y ^ z, w.rotr(x, 17), w.rotr(x, 19), w.shr(x, 10))


def choose(w: Arithmetic, e: Word, f: Word, g: Word) -> Word:
    return w.bitwise(lambda e, f, g: g ^ (e & (f ^ g)), e, f, g)


def majority(w: Arithmetic, a: Word, b: Word, c: Word) -> Word:
    """Written so that a ^ b can be reused as the next round's b ^ c."""
    return w.bitwise(lambda a, b, c: b ^ ((a ^ b) & (b ^ c)), a, b, c)


def next_word(w: Arithmetic, words: Sequence[Word]) -> Word:
    """Word t of the schedule from the sixteen before it."""
    return w.add(words[-16], small_sigma0(w, words[-15]), words[-7], small_sigma1(w, words[-2]))


def schedule(w: Arithmetic, block: Sequence[Word]) -> Iterator[Word]:
    """The 64 words W of a 16-word block, computed lazily."""
    words = list(block)
    yield from words
    for _ in range(48):
        words.append(next_word(w, words))
        yield words[-1]


def one_round(w: Arithmetic, state: Sequence[Word], *addends: Word) -> State:
    """One round: `state` is (a, ..., h), the addends sum up to K + W."""
    a, b, c, d, e, f, g, h = state
    t1 = w.add(h, *addends, choose(w, e, f, g), big_sigma1(w, e))
    t2 = w.add(majority(w, a, b, c), big_sigma0(w, a))
    return [w.add(t1, t2), a, b, c, w.add(d, t1), e, f, g]


def compress(w: Arithmetic, before: Sequence[Word], block: Sequence[Word]) -> State:
    """The state after a whole block of 16 words."""
    state = list(before)
    for k, word in zip(K, schedule(w, block), strict=True):
        state = one_round(w, state, w.add(k, word))
    return [w.add(old, new) for old, new in zip(before, state, strict=True)]


def before_nonce(w: Arithmetic, midstate: Sequence[Word], tail: Sequence[Word]) -> State:
    """The state after rounds 0..3 of a header's second block, without the nonce's sum K + W.

    `with_nonce` adds that sum to a and e, the only words that a round computes.
    """
    state = list(midstate)
    for t, word in enumerate(tail):
        state = one_round(w, state, K[t], word)
    return one_round(w, state, 0)


def with_nonce(w: Arithmetic, state: Sequence[Word], nonce_sum: Word) -> State:
    """The result of `before_nonce`, completed with the nonce's K + W."""
    a, b, c, d, e, f, g, h = state
    return [w.add(a, nonce_sum), b, c, d, w.add(e, nonce_sum), f, g, h]


def header_sums(w: Arithmetic, tail: Sequence[Word], nonce: Word) -> Iterator[Word]:
    """The 64 sums K + W of a header's second block; word 3 is `nonce` (nNonce) with its bytes swapped.

    Version rolling (BIP 320) changes only the first block: these sums are the same for every midstate.
    """
    block = [*tail, w.swap_bytes(nonce), *HEADER_PADDING]
    return (w.add(k, word) for k, word in zip(K, schedule(w, block), strict=True))


def top_word(w: Arithmetic, state: Sequence[Word]) -> Word:
    """The hash value's top 32 bits, from the state after round `LAST_ROUND` of the second hash."""
    return w.swap_bytes(w.add(state[4], IV[7]))
