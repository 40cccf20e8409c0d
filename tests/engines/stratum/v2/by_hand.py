"""The handshake computed a second time, step by step from the specification and BIP 324, with integers alone."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

P = 2**256 - 2**32 - 977
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
ROOT_OF_MINUS_3 = pow(-3, (P + 1) // 4, P)

Point = tuple[int, int] | None


def add(one: Point, other: Point) -> Point:
    """The sum of two points of the curve."""
    if one is None or other is None:
        return one or other
    if one[0] == other[0]:
        if (one[1] + other[1]) % P == 0:
            return None
        slope = 3 * one[0] ** 2 * pow(2 * one[1], -1, P)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, P)
    x = (slope * slope - one[0] - other[0]) % P
    return x, (slope * (one[0] - x) - one[1]) % P


def times(scalar: int, point: Point) -> Point:
    """Double and add."""
    result: Point = None
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def lift(x: int) -> Point:
    """A point with this x coordinate, None if there is none."""
    square = (x**3 + 7) % P
    y = pow(square, (P + 1) // 4, P)
    return (x, y) if y * y % P == square else None


def decoded(encoded: bytes) -> int:
    """XSwiftEC of BIP 324: the x coordinate that 64 bytes stand for."""
    u, t = (int.from_bytes(half) % P or 1 for half in (encoded[:32], encoded[32:]))
    if (u**3 + t**2 + 7) % P == 0:
        t = 2 * t % P
    x = (u**3 + 7 - t**2) * pow(2 * t, -1, P) % P
    y = (x + t) * pow(ROOT_OF_MINUS_3 * u, -1, P) % P
    half = pow(2, -1, P)
    candidates = ((u + 4 * y * y) % P, (-x * pow(y, -1, P) - u) * half % P, (x * pow(y, -1, P) - u) * half % P)
    return next(each for each in candidates if lift(each))


def public_x(secret: bytes) -> bytes:
    """The x coordinate of its public key."""
    point = times(int.from_bytes(secret), G)
    assert point
    return point[0].to_bytes(32)


def ecdh(secret: bytes, theirs: bytes, initiator: bytes, responder: bytes) -> bytes:
    """The shared secret of BIP 324."""
    point = times(int.from_bytes(secret), lift(decoded(theirs)))
    assert point
    tag = hashlib.sha256(b"bip324_ellswift_xonly_ecdh").digest()
    return hashlib.sha256(tag + tag + initiator + responder + point[0].to_bytes(32)).digest()


def expand(salt: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs."""
    both = HKDF(SHA256(), 64, salt, b"").derive(secret)
    return both[:32], both[32:]


def sha(*parts: bytes) -> bytes:
    """SHA-256 of the parts, joined."""
    return hashlib.sha256(b"".join(parts)).digest()


def act2_and_keys(
    initiator: bytes, ephemeral: tuple[bytes, bytes], static: tuple[bytes, bytes], certificate: bytes
) -> tuple[bytes, bytes, bytes]:
    """What the responder answers to `initiator` (act 1), and the keys of both directions. Pairs are (secret, key)."""
    zero = bytes(12)
    chaining = sha(b"Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256")
    heard = sha(sha(sha(sha(chaining), initiator)), ephemeral[1])
    chaining, key = expand(chaining, ecdh(ephemeral[0], initiator, initiator, ephemeral[1]))
    first = ChaCha20Poly1305(key).encrypt(zero, static[1], heard)
    heard = sha(heard, first)
    chaining, key = expand(chaining, ecdh(static[0], initiator, initiator, static[1]))
    second = ChaCha20Poly1305(key).encrypt(zero, certificate, heard)
    return ephemeral[1] + first + second, *expand(chaining, b"")
