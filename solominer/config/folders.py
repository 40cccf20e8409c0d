"""Where this program keeps its files unless it is configured otherwise."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/solominer`, by default `~/.local/share/solominer`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "solominer"


def default_cache_dir() -> Path:
    """`$SOLOMINER_CACHE` or `$XDG_CACHE_HOME/solominer`: compiled kernels and a fetched bitcoind."""
    own = os.environ.get("SOLOMINER_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "solominer"
