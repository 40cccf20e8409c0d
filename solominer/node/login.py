"""The login at one node, shared by all connections to it; the credentials accepted last are kept in memory.

A cookie file may be deleted or become unreadable while the node keeps running (a second bitcoind does that when it
starts). A found block must not depend on it, so the file is read only at first and after an HTTP 401.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as BadBase64

from solominer.node.credentials import Credentials


class Login:
    """One per node. May be used from any thread: each method reads or writes one reference."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._accepted = b""
        self._logged: set[str] = set()
        self.changes = 0
        """How often the node has accepted a new login: after the first, each one means that it was restarted."""

    @property
    def works(self) -> bool:
        """Whether the node has accepted a login."""
        return bool(self._accepted)

    def header(self) -> bytes:
        """Value of the Authorization header: the last accepted one, else the configured one. Raises NodeAuthFailed."""
        return self._accepted or self._credentials.header()

    def after_refusal(self, refused: bytes) -> bytes:
        """What to try after HTTP 401 for `refused`; possibly the same value. Raises NodeAuthFailed."""
        accepted = self._accepted
        return accepted if accepted not in (b"", refused) else self._credentials.header()

    def accepted(self, header: bytes) -> None:
        """The node accepted this value."""
        if header != self._accepted:
            self._accepted = header
            self.changes += 1

    def first_time(self, method: str) -> bool:
        """Whether this is the first call for `method`, so that a refused method is logged once per node."""
        if method in self._logged:
            return False
        self._logged.add(method)
        return True

    def describe(self) -> str:
        """The configured credentials without secrets, and what to check if the node refuses them, for error texts."""
        return self._credentials.describe()


def user_of(header: bytes) -> str:
    """The user in the value of an Authorization header (no secret)."""
    try:
        return b64decode(header.removeprefix(b"Basic ")).partition(b":")[0].decode(errors="replace")
    except BadBase64:
        return ""
