"""Logins of one connection, and those that wait until the node has checked their address. Sans I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from solominer.engines.stratum.messages import Request
from solominer.engines.stratum.names import Username, parse_username

MAX_PENDING_LOGINS = 16
MAX_REFUSED_LOGINS = 32
MAX_USERNAMES_CHARS = 32 * 1024
"""Of all usernames of a connection: as many as the longest lines that are allowed make two of."""


@dataclass(frozen=True, slots=True)
class Login:
    """A mining.authorize: the id to answer, the username as sent and parsed, the password."""

    id_json: bytes
    raw: str
    name: Username
    password: object


def parse_login(request: Request) -> Login | None:
    """None without a username."""
    params = request.params
    if not isinstance(params, list) or not params or not isinstance(params[0], str) or not params[0]:
        return None
    return Login(request.id_json(), params[0], parse_username(params[0]), params[1] if len(params) > 1 else None)


class Logins:
    """Logins that wait, and how many were refused."""

    __slots__ = ("_pending", "refused")

    def __init__(self) -> None:
        self._pending: list[Login] = []
        self.refused = 0

    def is_full(self, workers: Iterable[str], max_workers: int) -> bool:
        """Whether a connection with these usernames may not have another one."""
        names = list(workers)
        chars = sum(map(len, names)) + sum(len(login.raw) for login in self._pending)
        return len(names) >= max_workers or len(self._pending) >= MAX_PENDING_LOGINS or chars > MAX_USERNAMES_CHARS

    def wait(self, login: Login) -> None:
        """Keep it until its address is checked."""
        self._pending.append(login)

    def of(self, address: str) -> list[Login]:
        """Remove and return those that waited for this address."""
        found = [login for login in self._pending if login.name.address == address]
        self._pending = [login for login in self._pending if login.name.address != address]
        return found
