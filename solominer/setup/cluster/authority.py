"""The certificate authorities of a cluster, and what they sign. Keys are on the curve P-256.

There are two: one signs servers, the other the head and the nodes. The port between servers accepts the first alone, so
that a node's certificate does not make its holder a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from solominer.errors import ConfigError

AUTHORITY_DAYS = 3650
DAYS = 730
"""Lifetime of the certificates of servers, head and nodes."""
CLOCK_SKEW = timedelta(hours=1)

SERVER_USES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)  # among themselves they are both
CLIENT_USES = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def new_key() -> str:
    """A new private key, PEM."""
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate and the key that signs with it, PEM."""

    certificate_pem: str
    key_pem: str = field(repr=False)

    @classmethod
    def new(cls, name: str) -> Self:
        """An authority that signs no other authorities."""
        key_pem = new_key()
        key = _key(key_pem)
        builder = (
            _builder(name, name, AUTHORITY_DAYS)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_usage(signs=True), critical=True)
        )
        return cls(_pem(builder.sign(key, hashes.SHA256())), key_pem)

    def certificate(
        self,
        name: str,
        key_pem: str,
        alternative: Sequence[str],
        uses: Sequence[x509.ObjectIdentifier],
        days: float = DAYS,
    ) -> str:
        """A certificate for the holder of `key_pem`, PEM; `alternative` are its host names, IP addresses or users."""
        own = x509.load_pem_x509_certificate(self.certificate_pem.encode())
        public = _key(key_pem).public_key()
        builder = (
            _builder(name, own.subject.rfc4514_string().removeprefix("CN="), days)
            .public_key(public)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in alternative]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(_key(self.key_pem).public_key()), critical=False
            )
        )
        return _pem(builder.sign(_key(self.key_pem), hashes.SHA256()))


def alternative_names(certificate_pem: str) -> set[str]:
    """The host names, IP addresses or users of a certificate. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(each.value) for each in found}


def days_left(certificate_pem: str) -> float:
    """Days until a certificate expires. Raises ValueError."""
    last = x509.load_pem_x509_certificate(certificate_pem.encode()).not_valid_after_utc
    return (last - datetime.now(UTC)).total_seconds() / 86400


def _key(pem: str) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"a private key of the cluster cannot be read: {error}", "restore it from a backup") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ConfigError("a private key of the cluster is not one on P-256", "restore it from a backup")
    return key


def _builder(name: str, issuer: str, days: float) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - (CLOCK_SKEW if days > 0 else timedelta(days=1 - days)))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
