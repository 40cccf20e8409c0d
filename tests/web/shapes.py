"""The fields that other programs read (shapes.json), and whether a value has them: all, no others, each of its type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, dict[str, str]]] = json.loads((Path(__file__).with_name("shapes.json")).read_text())

_TYPES: dict[str, Callable[[Any], bool]] = {
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
    "hex8": lambda value: re.fullmatch("[0-9a-f]{8}", value) is not None,
    "decimal2": lambda value: re.fullmatch(r"\d+\.\d\d", value) is not None,
    "iso": lambda value: value == _javascript_date(value),
    # What ckstats' convertHashrate takes: a suffix, or else all of it is a BigInt.
    "rate": lambda value: re.fullmatch(r"\d+(\.\d+)?(e[+-]\d+)?[KMGTPEZ]|\d+", value) is not None,
}


def _javascript_date(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%S.") + text[-4:-1] + "Z"


def check(program: str, name: str, value: Any) -> None:
    """Assert that an object, or each of a list, has exactly the fields of this shape."""
    fields = SHAPES[program][name]
    if name.endswith("[]"):
        assert value, f"{name}: nothing to look at"
    for each in value if name.endswith("[]") else [value]:
        assert list(each) == list(fields), name
        for field, kind in fields.items():
            assert _TYPES[kind](each[field]), f"{name}: {field} is {each[field]!r}, not {kind}"
