"""Files whose first line is a password, and who else can read a password. No error quotes what is in a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from solominer.config.paths import plain_bytes, read_file, reason
from solominer.errors import ConfigError

if TYPE_CHECKING:
    from solominer.config.models import Config, RpcConfig
    from solominer.config.pools import PoolConfig

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable with the folder of a service's credentials. systemd sets it for the service only; other commands read
the same config without it."""
_CONTAINER_SECRETS = Path("/run/secrets")
_MAX_BYTES = 4096


def read_password(path: Path) -> str:
    r"""The first line of a file of UTF-8 text, without its \n or \r\n and without a byte order mark.

    Blanks at its ends are part of it. Raises ConfigError if it cannot be read, is too long, no text, or empty.
    """
    try:
        data = read_file(path, _MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"no password file at {path}", "correct the path in the configuration") from None
    except OSError as error:
        what = f"the password file {path} cannot be read: {reason(error)}"
        raise ConfigError(what, "correct the path, or grant this user read access") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path} is too long for a password file", "correct the path")
    try:
        text = plain_bytes(data).decode()
    except ValueError:
        raise ConfigError(f"the password file {path} is not UTF-8 text", "save it as UTF-8") from None
    password = text.partition("\n")[0].removesuffix("\r")
    if not password:
        raise ConfigError(f"the password file {path} is empty", "write the password into its first line")
    return password


def others_can_read(path: Path, bits: int = stat.S_IRGRP | stat.S_IROTH) -> bool:
    """Whether the mode of a file with a secret has `bits`, which let other users read it. Raises OSError.

    Not asked of files below /run/secrets and $CREDENTIALS_DIRECTORY: Docker gives them mode 0444, Kubernetes 0644 and
    systemd 0440, they cannot be changed from inside, and who may enter these folders is decided outside.
    """
    folders = [_CONTAINER_SECRETS, *([Path(named)] if (named := os.environ.get(CREDENTIALS)) else [])]
    real = path.resolve()
    if any(real.is_relative_to(folder.resolve()) for folder in folders):
        return False
    return bool(path.stat().st_mode & bits)


def files_with_passwords(config: Config, config_path: Path | None) -> list[Path]:
    """The password files of these settings, and `config_path` if it holds a password."""
    files = [file for _, file in _passwords(config) if file is not None]
    in_config = any(password for password, _ in _passwords(config))
    return [*files, *([config_path] if config_path is not None and in_config else [])]


def _passwords(config: Config) -> Iterator[tuple[str, Path | None]]:
    """Each password in the settings ("": none), and its file."""
    parts: list[RpcConfig | PoolConfig] = [*config.nodes, *config.pools, *config.fallback_pool]
    for part in parts:
        yield part.password.get_secret_value(), part.password_file
    smtp = config.alerts.smtp
    yield smtp.password.get_secret_value() if smtp.password else "", smtp.password_file
    yield "", config.mqtt.password_file
