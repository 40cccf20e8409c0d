"""Ed25519 signatures of reports (RFC 8032), with the optional `cryptography` package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from solominer.config.paths import plain_bytes
from solominer.errors import RecordsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer:
    """Signs with a private key from a PEM file; `public_hex` is the 32-byte public key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = key
        self.public_hex = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    @classmethod
    def load(cls, path: Path) -> Signer:
        """Load the key in `path`; if there is no file, create one with a new key, readable by its owner only.

        Raises RecordsError if the package is missing or the file is not an Ed25519 key.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import (
                Encoding,
                NoEncryption,
                PrivateFormat,
                load_pem_private_key,
            )
        except ImportError as error:
            raise RecordsError(
                "reports cannot be signed: the package cryptography is missing", "pip install 'solominer[signing]'"
            ) from error
        try:
            if not path.exists():
                fresh = Ed25519PrivateKey.generate()
                pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600, exist_ok=False)
                path.write_bytes(pem)
            key = load_pem_private_key(plain_bytes(path.read_bytes()), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise RecordsError(
                f"the signing key {path} cannot be used: {error}", "use a PEM file with an Ed25519 private key"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise RecordsError(f"the signing key {path} is not an Ed25519 key", "use an Ed25519 private key")
        return cls(key)

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(data)


def signature_holds(public_hex: str, signature: bytes, data: bytes) -> bool | None:
    """Whether the signature is valid for the key; None if the `cryptography` package is missing."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return None
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
