"""The tokens as the web server sees them: read again when their file changes, so that a revocation holds at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from solominer.errors import RecordsError
from solominer.web.access.tokens import Token, TokenFile, hash_of

USE_SECS = 60.0
"""A token's last use is written at most this often."""

log = logging.getLogger(__name__)


class TokenRegistry:
    """`clock` is in Unix seconds. While the file cannot be read there are no tokens, and the log says why."""

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
