"""Credentials for a node's RPC: a user and password, a password in a file, or the node's cookie file.

Each returns the value of the HTTP Authorization header. Files are read each time, since a node writes a new cookie at
every start. Secrets are excluded from `repr` and never quoted in errors.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from solominer.chain.networks import Network
from solominer.config.password_file import read_password
from solominer.config.paths import home, plain_bytes, read_file, reason
from solominer.errors import ConfigError, NodeAuthFailed

_MAX_COOKIE_BYTES = 4096


def default_data_folders() -> tuple[Path, ...]:
    """Default data directories of Bitcoin Core (GetDefaultDataDir), likeliest first."""
    own = home()
    in_home = () if own is None else (own / "Library/Application Support/Bitcoin", own / ".bitcoin")
    return in_home if sys.platform == "darwin" else (*in_home[1:], Path("/var/lib/bitcoind"))


@dataclass(frozen=True, slots=True)
class UserPassword:
    """A username (without a colon, as HTTP basic authentication requires) and a password (any characters)."""

    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_username(self.username)

    def header(self) -> bytes:
        """Value of the Authorization header."""
        # os.environ represents bytes that are not UTF-8 as surrogates
        return _basic(f"{self.username}:{self.password}".encode(errors="surrogateescape"))

    def describe(self) -> str:
        """Description without secrets, and what to check if the node refuses it, for error texts."""
        return f"user {self.username!r} and the configured password; compare them with rpcuser/rpcauth in bitcoin.conf"


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """A username, and a file whose first line is the password."""

    username: str
    path: Path

    def __post_init__(self) -> None:
        _check_username(self.username)

    def header(self) -> bytes:
        """Value of the Authorization header. Raises NodeAuthFailed if the file cannot be read or is empty."""
        try:
            return _basic(f"{self.username}:{read_password(self.path)}".encode())
        except ConfigError as error:
            raise NodeAuthFailed(error.what, error.todo) from None

    def describe(self) -> str:
        """Description without secrets, and what to check if the node refuses it, for error texts."""
        return f"user {self.username!r} and the password in {self.path}; compare them with rpcauth in bitcoin.conf"


@dataclass(frozen=True, slots=True)
class CookieFile:
    """The `.cookie` that a node writes to its data directory at start; the first of `paths` that exists."""

    paths: tuple[Path, ...]

    @classmethod
    def of_default_folder(cls, network: Network) -> CookieFile:
        """The cookie of a node on `network` in a default data directory of this user."""
        return cls(tuple(home / network.folder / ".cookie" for home in default_data_folders()))

    def header(self) -> bytes:
        """Value of the Authorization header. Raises NodeAuthFailed if there is no readable cookie."""
        content = self._content().strip()
        if b":" not in content:
            raise NodeAuthFailed(f"the cookie file {self._named()} is not user:password", "restart the node")
        return _basic(content)

    def describe(self) -> str:
        """Description without secrets, and what to check if the node refuses it, for error texts."""
        return f"the cookie in {self._named()}; check that it belongs to the node at this port"

    def _named(self) -> str:
        return " or ".join(str(path) for path in self.paths)

    def _content(self) -> bytes:
        closed = None
        for path in self.paths:
            try:
                return _read(path)
            except _NotThere:
                continue
            except NodeAuthFailed as error:
                closed = closed or error
        if closed is not None:
            raise closed
        raise NodeAuthFailed(
            f"no cookie file at {self._named()}",
            "start the node, or set bitcoin_rpc.cookie_file to the .cookie in its data directory (in regtest/, "
            "signet/ or testnet4/ for those networks), or set username and password",
        )


_CLOSED = (
    "grant this user access: rpccookieperms=group in bitcoin.conf, add this user to the node's group, "
    "and chmod g+x its data directories; or set username and password"
)
Credentials = UserPassword | PasswordFile | CookieFile


def _check_username(username: str) -> None:
    if ":" in username:
        raise ConfigError("an RPC username must not contain a colon", "use another rpcauth user in bitcoin.conf")


class _NotThere(NodeAuthFailed):
    pass


def _read(path: Path) -> bytes:
    try:
        content = read_file(path, _MAX_COOKIE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise _NotThere(f"no cookie file at {path}", "correct the path in the configuration") from None
    except OSError as error:
        raise NodeAuthFailed(f"the cookie file {path} cannot be read: {reason(error)}", _CLOSED) from error
    if len(content) > _MAX_COOKIE_BYTES:
        raise NodeAuthFailed(f"{path} is too long for a cookie file", "correct the path")
    try:
        return plain_bytes(content)
    except ValueError:
        raise NodeAuthFailed(f"the cookie file {path} is not UTF-8 text", "save it as UTF-8") from None


def _basic(user_and_password: bytes) -> bytes:
    return b"Basic " + b64encode(user_and_password)
