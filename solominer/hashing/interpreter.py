"""How a process of ours is started that runs another of our modules."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def python_command(module: str, *args: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a Python that imports what we do, from where we do, and nothing from its folder."""
    paths = [path or str(Path.cwd()) for path in sys.path]
    return [sys.executable, "-P", "-m", module, *args], {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
