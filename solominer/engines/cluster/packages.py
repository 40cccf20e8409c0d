"""The packages that only a cluster needs."""

from __future__ import annotations

from solominer.errors import ConfigError


def need_packages() -> None:
    """Raises ConfigError, with what to install, if one is missing."""
    try:
        import cryptography  # noqa: F401
        import nats  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"a cluster needs {error.name}", 'install it: pip install "solominer[cluster]"') from error
