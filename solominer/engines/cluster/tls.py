"""Mutual TLS: the context of a head or a node, and the dates of a certificate."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime

from cryptography import x509

from solominer.errors import ConfigError


def tls_context(ca_pem: str, certificate_pem: str, key_pem: str) -> ssl.SSLContext:
    """The context of a client that shows its certificate and trusts this CA alone. Raises ConfigError."""
    try:
        context = ssl.create_default_context(cadata=ca_pem)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with tempfile.NamedTemporaryFile(prefix="solominer-", suffix=".pem") as file:  # ssl reads keys from files alone
            file.write(f"{certificate_pem}\n{key_pem}".encode())
            file.flush()
            context.load_cert_chain(file.name)
    except (ValueError, OSError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"the certificate and the key cannot be used: {getattr(error, 'strerror', None) or error}",
            "fetch the join file again from the head, or make a new one there: solominer cluster add NODE --renew",
        ) from None
    return context


def check_dates(certificate_pem: str, whose: str, renew: str, at: datetime | None = None) -> datetime:
    """When the certificate expires. Raises ConfigError if it is not valid now; `renew` says what to do about it."""
    now = datetime.now(UTC) if at is None else at
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    except ValueError as error:
        raise ConfigError(f"the certificate of {whose} cannot be read: {error}", renew) from None
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > last:
        raise ConfigError(f"the certificate of {whose} expired on {last:%Y-%m-%d}", renew)
    if now < first:
        raise ConfigError(
            f"the certificate of {whose} is valid from {first:%Y-%m-%d %H:%M} UTC; here it is {now:%Y-%m-%d %H:%M} UTC",
            "set the clock of this machine",
        )
    return last
