"""The login at one node, shared by all connections to it: what the node accepted last is kept in memory.

A cookie file may be deleted or closed to us while the node runs on (a second bitcoind does so when it starts). A found
block must not depend on that, so the file is read at first and after an HTTP 401 alone.
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
        """How often the node has accepted another login than before: it was restarted each time but the first."""

    @property
    def works(self) -> bool:
        """Whether the node has accepted a login."""
        return bool(self._accepted)

    def header(self) -> bytes:
        """Value of the Authorization header: what worked last, else what is configured. Raises NodeAuthFailed."""
        return self._accepted or self._credentials.header()

    def after_refusal(self, refused: bytes) -> bytes:
        """What to try after HTTP 401 for `refused`; the same where there is nothing else. Raises NodeAuthFailed."""
        accepted = self._accepted
        return accepted if accepted not in (b"", refused) else self._credentials.header()

    def accepted(self, header: bytes) -> None:
        """The node let us in with this value."""
        if header != self._accepted:
            self._accepted = header
            self.changes += 1

    def first_time(self, method: str) -> bool:
        """Whether nobody has asked this about `method` before: each refused method is logged once for each node."""
        if method in self._logged:
            return False
        self._logged.add(method)
        return True

    def describe(self) -> str:
        """What is configured, for error texts, and what to check when the node refuses it."""
        return self._credentials.describe()


def user_of(header: bytes) -> str:
    """The user in the value of an Authorization header (no secret)."""
    try:
        return b64decode(header.removeprefix(b"Basic ")).partition(b":")[0].decode(errors="replace")
    except BadBase64:
        return ""
