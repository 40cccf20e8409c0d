"""How a process of ours is started that runs another of our modules."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def python_command(module: str, *args: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a Python that imports what we do, from where we do, and nothing from its folder."""
    paths = [found for path in sys.path if (found := path or _current_directory())]
    return [sys.executable, "-P", "-m", module, *args], {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _current_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed: nothing is imported from it
        return ""
