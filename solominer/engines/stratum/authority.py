"""The authority key of the Stratum V2 server: made once, kept in a file that only its owner reads.

Miners are given its public half, so a new key would have to be typed into each of them. The packages of the extra
`stratum2` are needed from here on, and for nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import msgspec

from solominer.engines.stratum.channel import ListenerSetup
from solominer.errors import EngineError, SolominerError
from solominer.records.files import read_bounded
from solominer.records.tree import atomic_write

INSTALL = "install it: pip install 'solominer[stratum2]'"
_MODE = 0o600
_MOST_BYTES = 1 << 16
_TODO = "restore it from a backup; or remove it, and type the new key into each miner"

log = logging.getLogger(__name__)


class MissingPackage(EngineError):
    """What Stratum V2 needs is not installed."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The secret, which signs certificates, and the public key as miners type it in."""

    secret: bytes = field(repr=False)
    key: str


class _Saved(msgspec.Struct):
    """The content of the file; the key is there for people."""

    secret: str
    key: str


def load_authority(path: Path) -> Authority:
    """The authority of this file; a new one is made and kept there if there is no file.

    Raises MissingPackage, or EngineError if the file cannot be used.
    """
    try:
        from solominer.engines.stratum.v2.certificate import key_text
        from solominer.engines.stratum.v2.curve import keypair, public_x
    except ImportError as error:
        raise MissingPackage(f"Stratum V2 needs the package {error.name}", INSTALL) from error
    if find_spec("cryptography") is None:  # the server's processes import it
        raise MissingPackage("Stratum V2 needs the package cryptography", INSTALL)
    try:
        if not path.exists():
            secret = keypair().secret
            saved = _Saved(secret.hex(), key_text(public_x(secret)))
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, msgspec.json.format(msgspec.json.encode(saved)) + b"\n", durable=True, mode=_MODE)
        path.chmod(_MODE)  # a copy may have come back with another
        saved = msgspec.json.decode(read_bounded(path, _MOST_BYTES), type=_Saved)
        secret, key = bytes.fromhex(saved.secret), saved.key
        if key_text(public_x(secret)) != key:
            raise ValueError("the key is not that of the secret")
    except OSError as error:
        raise EngineError(f"the authority key in {path} cannot be used: {error.strerror}", _TODO) from None
    except (ValueError, msgspec.MsgspecError, SolominerError):  # which may quote the secret
        raise EngineError(f"the authority key in {path} cannot be used: the file is damaged", _TODO) from None
    return Authority(secret, key)


def authority_of(listeners: Iterable[ListenerSetup], path: Path | None) -> Authority | None:
    """The key that signs for Stratum V2, or None. Raises EngineError if there is none for a listener with V2 alone."""
    speaking = [each for each in listeners if each.speaks_v2]
    if path is None or not speaking:
        return None
    try:
        return load_authority(path)
    except EngineError as error:
        if any(each.v2 == "only" for each in speaking):
            raise
        level = logging.INFO if isinstance(error, MissingPackage) else logging.WARNING
        log.log(level, "miners cannot use Stratum V2: %s: %s", error.what, error.todo)
        return None
