"""Imported first by every script that needs more than Python: goes on in .venv, and finds this checkout's packages.

An environment that has the tests' packages is used as it is; else the script begins again in .venv, which `make test`
makes.
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
        sys.exit(f"{sys.argv[0]} needs the packages that the tests need: run `make test` first, it makes .venv")
    os.execv(python, [str(python), *sys.argv])
sys.path.insert(0, str(ROOT))
