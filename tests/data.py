"""Loads test data from tests/vectors/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "vectors"


def load(name: str) -> Any:
    """The content of vectors/<name>.json."""
    return json.loads((FOLDER / f"{name}.json").read_text())
