"""secp256k1 as Stratum V2 needs it, by libsecp256k1: ElligatorSwift keys (BIP 324) and Schnorr signatures (BIP 340)."""

from __future__ import annotations

import os
from typing import NamedTuple

from coincurve import PrivateKey, PublicKeyXOnly
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from solominer.errors import BadValue

if not hasattr(lib, "secp256k1_ellswift_create"):
    raise ImportError("coincurve is too old: its libsecp256k1 has no ElligatorSwift", name="coincurve >= 21")

ENCODED_BYTES = 64
_UNCOMPRESSED = 65


class Keypair(NamedTuple):
    """A secret of 32 bytes, and its public key's x coordinate by ElligatorSwift: 64 bytes that look random."""

    secret: bytes
    encoded: bytes


def keypair(secret: bytes = b"", randomness: bytes = b"") -> Keypair:
    """The key pair of a secret; of a new random one without. `randomness` of 32 bytes chooses the encoding.

    Raises BadValue for a secret that is 0 or not below the order of the group.
    """
    secret = secret or os.urandom(32)
    encoded = ffi.new("unsigned char[64]")
    if len(secret) != 32 or not lib.secp256k1_ellswift_create(
        GLOBAL_CONTEXT.ctx, encoded, secret, randomness or os.urandom(32)
    ):
        raise BadValue("a secret key that is none of secp256k1")
    return Keypair(secret, bytes(ffi.buffer(encoded)))


def shared_secret(ours: Keypair, theirs: bytes, *, initiating: bool) -> bytes:
    """The 32 bytes that both ends compute (BIP 324, `v2_ecdh`); `theirs` has 64 bytes, any of which are a key."""
    first, second = (ours.encoded, theirs) if initiating else (theirs, ours.encoded)
    secret = ffi.new("unsigned char[32]")
    if not lib.secp256k1_ellswift_xdh(
        GLOBAL_CONTEXT.ctx,
        secret,
        first,
        second,
        ours.secret,
        not initiating,
        lib.secp256k1_ellswift_xdh_hash_function_bip324,
        ffi.NULL,
    ):
        raise BadValue("a secret key that is none of secp256k1")
    return bytes(ffi.buffer(secret))


def x_of(encoded: bytes) -> bytes:
    """The x coordinate of an encoded key, 32 bytes big-endian."""
    point, size = ffi.new("secp256k1_pubkey *"), ffi.new("size_t *", _UNCOMPRESSED)
    whole = ffi.new(f"unsigned char[{_UNCOMPRESSED}]")
    lib.secp256k1_ellswift_decode(GLOBAL_CONTEXT.ctx, point, encoded)
    lib.secp256k1_ec_pubkey_serialize(GLOBAL_CONTEXT.ctx, whole, size, point, lib.SECP256K1_EC_UNCOMPRESSED)
    return bytes(ffi.buffer(whole))[1:33]


def public_x(secret: bytes) -> bytes:
    """The x coordinate of a secret's public key, 32 bytes big-endian (BIP 340)."""
    try:
        return bytes(PublicKeyXOnly.from_secret(secret).format())
    except ValueError:
        raise BadValue("a secret key that is none of secp256k1") from None


def sign(secret: bytes, digest: bytes) -> bytes:
    """The Schnorr signature of 32 bytes: 64 bytes."""
    return bytes(PrivateKey(secret).sign_schnorr(digest, os.urandom(32)))


def is_signed(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether it is the signature of these 32 bytes by this key, given by its x coordinate."""
    try:
        return bool(PublicKeyXOnly(public_key).verify(signature, digest))
    except ValueError:  # no x coordinate of the curve
        return False
