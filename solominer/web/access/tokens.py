"""Access tokens: random, shown once, kept as hashes in `web-tokens.json` in the folder of a network's records.

The SHA-256 of a token is its session id, which the cookie holds after a login; the file holds the SHA-256 of that. So
the file lets nobody in, a stolen cookie is not the token, and sessions outlast a restart and end with their token.

Only `solominer web token` writes the file. The web server writes the times of last use to a file of its own, so that
neither undoes what the other has just written.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import orjson

from solominer.chain.fields import Field, decode
from solominer.config.file_lock import take_lock
from solominer.errors import BadValue, ConfigError, RecordsError
from solominer.records.files import optional, read_bounded, reason
from solominer.records.formats import other_version
from solominer.records.tree import atomic_write, make_folder

FILE = "web-tokens.json"
FORMAT = "solominer-web-tokens/1"
USES_FILE = "web-token-uses.json"
PREFIX = "solominer_"
SECRET_BYTES = 32
DAY_SECS = 86_400
MAX_TOKENS = 1000
MAX_AT = 1e11
USE_SECS = 60.0
"""A token's last use is written at most this often."""

_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)
_SECRET = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}", re.ASCII)

log = logging.getLogger(__name__)


class Role(StrEnum):
    """What a token allows. SHARE reads, and its token may be in a link."""

    READ = "read"
    CONTROL = "control"
    SHARE = "share"


ROLES = frozenset(each.value for each in Role)


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. Times are Unix seconds; without `expires_at` it is valid until revoked."""

    name: str
    role: Role
    hash: str
    created_at: float
    expires_at: float | None = None

    def has_expired(self, at: float) -> bool:
        """Whether its time is over at `at`."""
        return self.expires_at is not None and at >= self.expires_at


def session_of(secret: str) -> str | None:
    """The session id of a token; None for a text that cannot be one."""
    return hashlib.sha256(secret.encode()).hexdigest() if _SECRET.fullmatch(secret) else None


def hash_of(session: str) -> str:
    """What the file keeps of a session id."""
    return hashlib.sha256(session.encode(errors="replace")).hexdigest()


class TokenFile:
    """The tokens of one network's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._uses = folder / USES_FILE

    def load(self) -> tuple[Token, ...]:
        """All tokens, oldest first; none if there is no file. Raises RecordsError if it cannot be trusted or read."""
        try:
            facts = self.path.stat()
            if facts.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(facts.st_mode) & 0o022:
                raise RecordsError(
                    f"{self.path} can be changed by other users",
                    f"make it yours alone: chown {os.geteuid()} {self.path}; chmod 600 {self.path}",
                )
            data = read_bounded(self.path, _MAX_BYTES)
        except FileNotFoundError:
            return ()
        except PermissionError as error:
            todo = "run `solominer web token` as the user of the daemon"
            raise RecordsError(f"{self.path} belongs to another user", todo) from error
        except OSError as error:
            raise RecordsError(f"the web tokens cannot be read: {reason(error)}", "check the disk") from error
        if other := other_version(data, FORMAT):
            raise RecordsError(
                f"{self.path} cannot be used: {other}",
                "use the newest version that was used here, or remove the file and make new tokens",
            )
        try:
            return tuple(map(_token, Field(decode(data), FILE)["tokens"].items(MAX_TOKENS)))
        except BadValue as error:
            raise RecordsError(
                f"{self.path} is damaged: {error.what}",
                "remove the file and make new tokens with `solominer web token add`",
            ) from error

    def add(self, name: str, role: Role, at: float, days: float | None = None) -> str:
        """Make a token that is valid for `days` from `at` (Unix seconds), and return it: it cannot be shown again.

        Raises ConfigError for a name that is not usable or taken, RecordsError as `load`.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r:.60} cannot be the name of a token",
                "use up to 40 letters, digits, dots, underscores and hyphens",
            )
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        expires_at = None if days is None else at + days * DAY_SECS
        with self._locked():
            tokens = self.load()
            if any(token.name == name for token in tokens):
                raise ConfigError(
                    f"there is a token with the name {name}", f"revoke it first: solominer web token revoke {name}"
                )
            if len(tokens) >= MAX_TOKENS:
                raise ConfigError(f"there are {MAX_TOKENS} tokens", "revoke those that are not used any more")
            self._save((*tokens, Token(name, role, hash_of(session_of(secret) or ""), at, expires_at)))
        return secret

    def revoke(self, name: str) -> None:
        """Remove a token: it and its sessions are refused from now on. Raises ConfigError for an unknown name."""
        with self._locked():
            tokens = self.load()
            left = tuple(token for token in tokens if token.name != name)
            if len(left) == len(tokens):
                raise ConfigError(f"there is no token {name!r:.60}", "see them all: solominer web token list")
            self._save(left)

    def load_uses(self) -> dict[str, float]:
        """When each token was last used, by its hash; {} where that is unknown."""
        with suppress(OSError, BadValue):
            uses = Field(decode(read_bounded(self._uses, _MAX_BYTES)), USES_FILE)
            return {key: value.number(0, MAX_AT) for key, value in uses.members()}
        return {}

    def save_uses(self, uses: dict[str, float]) -> None:
        """Keep when tokens were last used. That they cannot be kept is logged once."""
        with optional(f"writing {USES_FILE}"):
            atomic_write(self._uses, orjson.dumps(uses), mode=0o600)

    def _save(self, tokens: tuple[Token, ...]) -> None:
        document = {"format": FORMAT, "tokens": [asdict(token) for token in tokens]}
        atomic_write(self.path, orjson.dumps(document, option=orjson.OPT_INDENT_2), durable=True, mode=0o600)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep two commands from undoing each other's changes. An OSError becomes a RecordsError."""
        try:
            make_folder(self.path.parent)
            handle = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                with optional("locking the web tokens"):
                    take_lock(handle, self.path.parent)
                yield
            finally:
                os.close(handle)
        except OSError as error:
            todo = "run this as the user of the daemon, and check the disk"
            raise RecordsError(f"the web tokens cannot be written: {reason(error)}", todo) from error


def _token(field: Field) -> Token:
    role, expires_at = field["role"], field.get("expires_at")
    if role.text() not in ROLES:
        raise role.refused("read, control or share")
    return Token(
        name=field["name"].text(),
        role=Role(role.text()),
        hash=f"{field['hash'].hex_number(64, 64):064x}",
        created_at=field["created_at"].number(0, MAX_AT),
        expires_at=None if expires_at is None else expires_at.number(0, MAX_AT),
    )


class TokenRegistry:
    """The tokens as the web server sees them: read again when their file changes, so that a revocation holds at once.

    `clock` is in Unix seconds. While the file cannot be read there are no tokens, and the log says why."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = TokenFile(folder)
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._seen: tuple[int, ...] | None = None
        self._uses = self._file.load_uses()

    @property
    def tokens(self) -> dict[str, Token]:
        """All tokens by their hash, expired ones too."""
        seen = self._state_of_file()
        if seen != self._seen:
            self._seen = seen
            try:
                self._tokens = {token.hash: token for token in self._file.load()}
            except RecordsError as error:
                self._tokens = {}
                log.error("no token is accepted: %s -> %s", error.what, error.todo)
        return self._tokens

    def of_session(self, session: str) -> Token | None:
        """The token of a session id, which may have expired; None if there is none."""
        return self.tokens.get(hash_of(session))

    def is_valid(self, token: Token) -> bool:
        """Whether it has neither been revoked nor expired."""
        return self.tokens.get(token.hash) == token and not token.has_expired(self._clock())

    def used(self, token: Token) -> None:
        """Keep that it was used now, unless it was used within the last minute."""
        now = self._clock()
        if abs(now - self._uses.get(token.hash, 0.0)) >= USE_SECS:
            self._uses = {key: at for key, at in self._uses.items() if key in self.tokens} | {token.hash: now}
            self._file.save_uses(self._uses)

    def _state_of_file(self) -> tuple[int, ...]:
        try:
            facts = self._file.path.stat()
        except OSError as error:
            return (error.errno or 0,)
        return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size
