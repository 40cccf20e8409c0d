"""TLS of a listener: its certificate and key as a server uses them, and as a client sees them."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from solominer.errors import EngineError

_TODO = "name PEM files that this user can read, with the key of this certificate, not encrypted"
_FLIGHTS = 4


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a client learns from a certificate: host names and addresses, its end in Unix seconds, and its DER form."""

    names: tuple[str, ...]
    expires_at: float
    der: bytes


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """The context of a server with these PEM files; `key` is "" where the certificate's file holds it.

    Raises EngineError that names the files if they cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Have a server's new connections begin with these files. Raises EngineError as `server_context` does."""

    def encrypted() -> str:  # OpenSSL would ask at the terminal
        raise ValueError("the key is encrypted")

    try:
        context.load_cert_chain(certificate, key or None, encrypted)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise EngineError(
            f"the TLS certificate {' with '.join(filter(None, (certificate, key)))} cannot be used: {_reason(error)}",
            _TODO,
        ) from error


def _reason(error: Exception) -> str:
    if not isinstance(error, ssl.SSLError):
        return getattr(error, "strerror", None) or str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is of another certificate"
    return error.reason.replace("_", " ").lower() if error.reason else "there is no certificate or no key in PEM"


def certificate_facts(certificate: str, key: str) -> CertificateFacts:
    """Shake hands in memory, with this certificate as the client's only root. Raises EngineError if that fails.

    It fails for files that cannot be used, and for a certificate that is not valid now.
    """
    server = server_context(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    try:
        for _ in range(_FLIGHTS):
            for end in ends:
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise EngineError(f"the TLS certificate {certificate} is refused: {error.verify_message}", "renew it") from None
    seen: Any = ends[0].getpeercert()
    der = ends[0].getpeercert(binary_form=True)
    assert der is not None
    names = tuple(name for kind, name in seen.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    return CertificateFacts(names, ssl.cert_time_to_seconds(seen["notAfter"]), der)
