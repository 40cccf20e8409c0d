"""Imported first by scripts that require packages: restarts them in .venv, and adds this checkout to the path.

An environment with the test packages is used as is; otherwise the script restarts in .venv, which `make test` creates.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"

if not all(find_spec(name) for name in ("numba", "orjson", "pytest")):
    python = VENV / "bin" / "python"
    if not python.exists() or Path(sys.prefix).resolve() == VENV.resolve():
        sys.exit(f"{sys.argv[0]} requires the test packages: run `make test` first, which creates .venv")
    os.execv(python, [str(python), *sys.argv])
sys.path.insert(0, str(ROOT))
