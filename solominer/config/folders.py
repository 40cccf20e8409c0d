"""Where this program keeps its files unless it is configured otherwise."""

from __future__ import annotations

import os
from pathlib import Path

from solominer.config.paths import absolute, expanded, home_or_refuse


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/solominer`, by default `~/.local/share/solominer`. ConfigError without a home directory."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if base.is_absolute():  # the specification has relative ones ignored
        return base / "solominer"
    return home_or_refuse("data_dir (--data-dir, SOLOMINER_DATA_DIR)") / ".local" / "share" / "solominer"


def default_cache_dir() -> Path:
    """`$SOLOMINER_CACHE` or `$XDG_CACHE_HOME/solominer`: compiled kernels and a fetched bitcoind.

    Raises ConfigError without a home directory.
    """
    own = os.environ.get("SOLOMINER_CACHE")
    if own:
        return absolute(expanded(Path(own), "SOLOMINER_CACHE"))
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base / "solominer"
    return home_or_refuse("SOLOMINER_CACHE") / ".cache" / "solominer"
