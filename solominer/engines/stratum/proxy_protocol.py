"""The PROXY protocol, versions 1 and 2: who is behind a proxy that we trust. Sans I/O.

Source: haproxy's proxy-protocol.txt. A header stands before everything else on a connection, TLS included.
"""

from __future__ import annotations

from ipaddress import ip_address

from solominer.errors import DecodeError

_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD_BYTES = 16
_V1_MOST_BYTES = 107
_V2_MOST_BYTES = 4096
_ADDRESS_BYTES = {1: 4, 2: 16}  # AF_INET, AF_INET6


class ProxyHeader:
    """Reads the header of one connection."""

    def __init__(self) -> None:
        self._data = b""
        self.address = ""
        """The client's address; empty where the proxy speaks for itself (its health check)."""

    def feed(self, data: bytes) -> bytes | None:
        """What follows the header, or None while it is not complete. Raises DecodeError for what is no header."""
        self._data += data
        if self._data.startswith(_V2_SIGNATURE):
            return self._version_2()
        if self._data.startswith(b"PROXY "):
            return self._version_1()
        if _V2_SIGNATURE.startswith(self._data) or b"PROXY ".startswith(self._data):
            return None
        raise DecodeError("a connection from a proxy begins without a PROXY header")

    def _version_1(self) -> bytes | None:
        line, end, rest = self._data.partition(b"\r\n")
        if not end:
            if len(self._data) > _V1_MOST_BYTES:
                raise DecodeError("the PROXY header is too long")
            return None
        parts = line.split(b" ")
        if len(parts) == 6 and parts[1] in (b"TCP4", b"TCP6"):
            try:
                self.address = str(ip_address(parts[2].decode("ascii")))
            except ValueError:
                raise DecodeError("the PROXY header has no address") from None
        elif parts[1:2] != [b"UNKNOWN"]:
            raise DecodeError("the PROXY header is of no known form")
        return rest

    def _version_2(self) -> bytes | None:
        data = self._data
        if len(data) < _V2_HEAD_BYTES:
            return None
        size = int.from_bytes(data[14:16], "big")
        if size > _V2_MOST_BYTES or data[12] not in (0x20, 0x21):
            raise DecodeError("the PROXY header is of no known form")
        if len(data) < _V2_HEAD_BYTES + size:
            return None
        length = _ADDRESS_BYTES.get(data[13] >> 4, 0)
        if data[12] == 0x21 and length and size >= length:
            self.address = str(ip_address(data[_V2_HEAD_BYTES : _V2_HEAD_BYTES + length]))
        return data[_V2_HEAD_BYTES + size :]
