"""The Noise_NX handshake of Stratum V2 (specification 4.5) and the ciphers that it ends in, sans I/O.

The miner is the initiator: it sends act 1 (64 bytes), and the server answers with act 2 (234 bytes; the table in the
specification says 170, which is the length with a static key that is not ElligatorSwift). A byte that was changed on
its way makes one end refuse what the other sends.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from solominer.engines.stratum.v2 import curve
from solominer.engines.stratum.v2.certificate import MESSAGE_BYTES, Certificate
from solominer.engines.stratum.v2.curve import ENCODED_BYTES, Keypair
from solominer.errors import BadValue, Truncated

PROTOCOL = b"Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256"
TAG_BYTES = 16
ACT1_BYTES = ENCODED_BYTES
_STATIC_END = 2 * ENCODED_BYTES + TAG_BYTES
ACT2_BYTES = _STATIC_END + MESSAGE_BYTES + TAG_BYTES

_NONCE = Struct("<4xQ")


class Cipher:
    """ChaCha20-Poly1305 with a counter for a nonce: one direction of a connection. Both ends count alike."""

    __slots__ = ("_aead", "_count")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._count = 0

    def encrypt(self, plain: bytes, associated: bytes | None = None) -> bytes:
        """The ciphertext with its tag, 16 bytes longer."""
        nonce = _NONCE.pack(self._count)
        self._count += 1
        return self._aead.encrypt(nonce, plain, associated)

    def encrypt_each(self, plains: Sequence[bytes]) -> bytes:
        """Their ciphertexts, one behind the other."""
        encrypt, pack, start = self._aead.encrypt, _NONCE.pack, self._count
        self._count = start + len(plains)
        return b"".join([encrypt(pack(count), plain, None) for count, plain in enumerate(plains, start)])

    def decrypt(self, sealed: bytes, associated: bytes | None = None) -> bytes:
        """The plain text. Raises BadValue for what is not the next ciphertext of the other end, to the bit."""
        try:
            plain = self._aead.decrypt(_NONCE.pack(self._count), sealed, associated)
        except InvalidTag:
            raise BadValue("what came is not what the other end encrypted: it was changed, lost or repeated") from None
        self._count += 1
        return plain


class Ciphers(NamedTuple):
    """Both directions of a connection, as one end sees them."""

    send: Cipher
    receive: Cipher


class _Handshake:
    """The variables of 4.4.2: chaining key, hash of all that was said, and the cipher of now."""

    def __init__(self) -> None:
        self._chaining = hashlib.sha256(PROTOCOL).digest()
        self._hash = hashlib.sha256(self._chaining).digest()
        self._cipher: Cipher | None = None

    def mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chaining, key = _hkdf(self._chaining, secret)
        self._cipher = Cipher(key)

    def encrypt(self, plain: bytes) -> bytes:
        assert self._cipher is not None
        sealed = self._cipher.encrypt(plain, self._hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        assert self._cipher is not None
        plain = self._cipher.decrypt(sealed, self._hash)
        self.mix_hash(sealed)
        return plain

    def begin(self, act1: bytes) -> None:
        self.mix_hash(act1)
        self.mix_hash(b"")

    def end(self) -> tuple[Cipher, Cipher]:
        """From the initiator to the responder, and back."""
        first, second = _hkdf(self._chaining, b"")
        return Cipher(first), Cipher(second)


def _hkdf(chaining: bytes, secret: bytes) -> tuple[bytes, bytes]:
    key = hmac.digest(chaining, secret, "sha256")
    first = hmac.digest(key, b"\x01", "sha256")
    return first, hmac.digest(key, first + b"\x02", "sha256")


class Initiator:
    """The miner's end: send `act1`, then `finish` with what came back. `ephemeral` is to be used once."""

    def __init__(self, ephemeral: Keypair | None = None) -> None:
        self._ephemeral = ephemeral or curve.keypair()
        self.act1 = self._ephemeral.encoded

    def finish(self, act2: bytes, authority_key: bytes, now: float) -> Ciphers:
        """Read act 2, and check at the time `now` (Unix seconds) that `authority_key` vouches for the server.

        Raises Truncated or BadValue, which says why the server cannot be trusted.
        """
        if len(act2) != ACT2_BYTES:
            raise Truncated(f"act 2 of the handshake has {len(act2)} bytes instead of {ACT2_BYTES}")
        shake, theirs = _Handshake(), act2[:ENCODED_BYTES]
        shake.begin(self.act1)
        shake.mix_hash(theirs)
        shake.mix_key(curve.shared_secret(self._ephemeral, theirs, initiating=True))
        try:
            static = shake.decrypt(act2[ENCODED_BYTES:_STATIC_END])
            shake.mix_key(curve.shared_secret(self._ephemeral, static, initiating=True))
            certificate = Certificate.unpack(shake.decrypt(act2[_STATIC_END:]))
        except BadValue:
            raise BadValue("the handshake was changed on its way, or this is no Stratum V2 server") from None
        certificate.check(authority_key, curve.x_of(static), now)
        return Ciphers(*shake.end())


def respond(
    act1: bytes, static: Keypair, certificate: bytes, ephemeral: Keypair | None = None
) -> tuple[bytes, Ciphers]:
    """The server's end: act 2 and the ciphers. `ephemeral` is to be used once; raises Truncated."""
    if len(act1) != ACT1_BYTES:
        raise Truncated(f"act 1 of the handshake has {len(act1)} bytes instead of {ACT1_BYTES}")
    ephemeral = ephemeral or curve.keypair()
    shake = _Handshake()
    shake.begin(act1)
    shake.mix_hash(ephemeral.encoded)
    shake.mix_key(curve.shared_secret(ephemeral, act1, initiating=False))
    sealed_static = shake.encrypt(static.encoded)
    shake.mix_key(curve.shared_secret(static, act1, initiating=False))
    act2 = ephemeral.encoded + sealed_static + shake.encrypt(certificate)
    receive, send = shake.end()
    return act2, Ciphers(send, receive)
