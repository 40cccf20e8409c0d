"""Who a Stratum V2 server is: its authority key as miners type it in, and the certificate that this key signs.

Specification 4.5.3 and 4.7. Times are Unix seconds; numbers are little-endian.
"""

from __future__ import annotations

import hashlib
from struct import Struct
from typing import NamedTuple

from solominer.chain.encode_address import base58check, from_base58check
from solominer.engines.stratum.v2 import curve
from solominer.errors import BadValue

VERSION = 0
MESSAGE_BYTES = 74
_HEAD = Struct("<HII")
_KEY_PREFIX = b"\x01\x00"


class Certificate(NamedTuple):
    """What the authority signed of a server's static key (its x coordinate), valid from and until these times."""

    version: int
    valid_from: int
    not_valid_after: int
    signature: bytes

    @classmethod
    def sign(cls, authority_secret: bytes, static_x: bytes, valid_from: int, not_valid_after: int) -> Certificate:
        """The certificate of a static key."""
        head = _HEAD.pack(VERSION, valid_from, not_valid_after)
        return cls(VERSION, valid_from, not_valid_after, curve.sign(authority_secret, _digest(head, static_x)))

    @classmethod
    def unpack(cls, message: bytes) -> Certificate:
        """Read a signature noise message of 74 bytes."""
        version, valid_from, not_valid_after = _HEAD.unpack_from(message)
        return cls(version, valid_from, not_valid_after, message[_HEAD.size :])

    def pack(self) -> bytes:
        """The signature noise message."""
        return _HEAD.pack(*self[:3]) + self.signature

    def check(self, authority_key: bytes, static_x: bytes, now: float) -> None:
        """Raises BadValue if the authority did not sign this static key, or not for this time."""
        if self.version != VERSION:
            raise BadValue(f"the server's certificate has the unknown version {self.version}")
        if not curve.is_signed(authority_key, _digest(_HEAD.pack(*self[:3]), static_x), self.signature):
            raise BadValue(
                "the server's certificate is not signed by this authority key",
                "compare the key with the one that the server shows: somebody may be in between",
            )
        if now < self.valid_from:
            raise BadValue(f"the server's certificate is not valid for another {self.valid_from - now:.0f} s", _CLOCKS)
        if now > self.not_valid_after:
            raise BadValue(f"the server's certificate expired {now - self.not_valid_after:.0f} s ago", _CLOCKS)


_CLOCKS = "compare the clocks of both machines"


def _digest(head: bytes, static_x: bytes) -> bytes:
    return hashlib.sha256(head + static_x).digest()


def key_text(authority_key: bytes) -> str:
    """The authority key as it stands in stratum2+tcp://HOST:PORT/KEY."""
    return base58check(_KEY_PREFIX + authority_key)


def parse_key(text: str) -> bytes:
    """The authority key of such a text, 32 bytes. Raises BadValue."""
    if not text:
        raise BadValue("the address has no authority key behind the port: stratum2+tcp://HOST:PORT/KEY", _COPY)
    try:
        data = from_base58check(text)
    except BadValue as error:
        raise BadValue(f"{text!r:.80} is no authority key: {error.what}", _COPY) from None
    if data[:2] != _KEY_PREFIX or len(data) != 34:
        raise BadValue(f"{text!r:.80} is no authority key of Stratum V2", _COPY)
    return data[2:]


_COPY = "copy the key from the server's own page, `solominer status` or the pool's website"
