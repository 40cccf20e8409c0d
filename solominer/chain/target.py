"""Targets and their compact form, in exact integers. Difficulty is for display only.

Source: src/arith_uint256.cpp (SetCompact, GetCompact), src/pow.cpp, src/chain.cpp (GetBlockProof).
"""

from __future__ import annotations

from solominer.errors import BadValue

DIFFICULTY_1_TARGET = 0xFFFF << 208
HASH_SPACE = 1 << 256
NONCE_SPACE = 1 << 32


def decode_compact(nbits: int) -> int:
    """The target encoded by `nbits`; 0 if the mantissa is shifted out.

    Raises BadValue for a negative or overflowing one.
    """
    if not 0 <= nbits <= 0xFFFFFFFF:
        raise BadValue(f"nbits {nbits} does not fit 32 bits")
    exponent, mantissa = nbits >> 24, nbits & 0x007FFFFF
    if exponent <= 3:
        mantissa >>= 8 * (3 - exponent)
    if mantissa and nbits & 0x00800000:
        raise BadValue(f"nbits {nbits:08x} is negative")
    if mantissa and (exponent > 34 or (mantissa > 0xFF and exponent > 33) or (mantissa > 0xFFFF and exponent > 32)):
        raise BadValue(f"nbits {nbits:08x} overflows 256 bits")
    return mantissa if exponent <= 3 else mantissa << (8 * (exponent - 3))


def encode_compact(target: int) -> int:
    """The canonical nbits of `target` (low digits beyond its 23-bit mantissa are dropped)."""
    if not 0 <= target < HASH_SPACE:
        raise BadValue("a target is a 256-bit number")
    size = (target.bit_length() + 7) // 8
    mantissa = target << (8 * (3 - size)) if size <= 3 else target >> (8 * (size - 3))
    if mantissa & 0x00800000:
        mantissa >>= 8
        size += 1
    return mantissa | size << 24


def proof_target(nbits: int, pow_limit: int) -> int:
    """The target of a block with these `nbits`.

    Raises BadValue for what CheckProofOfWork refuses: negative, overflowing, zero, or above the network's limit.
    """
    target = decode_compact(nbits)
    if target == 0:
        raise BadValue(f"nbits {nbits:08x} is a target of zero")
    if target > pow_limit:
        raise BadValue(f"nbits {nbits:08x} is easier than the network's limit")
    return target


def difficulty(target: int) -> float:
    """The difficulty of a target > 0, for display."""
    return DIFFICULTY_1_TARGET / target


def target_from_difficulty(value: float) -> int:
    """The largest target of at least difficulty `value`, exact for the given float."""
    if value <= 0:
        raise BadValue("a difficulty is positive")
    numerator, denominator = float(value).as_integer_ratio()
    return min(DIFFICULTY_1_TARGET * denominator // numerator, HASH_SPACE - 1)


def expected_hashes(target: int) -> int:
    """Work of a block: how many hashes it takes on average, 2**256 // (target + 1) (GetBlockProof)."""
    return HASH_SPACE // (target + 1)
