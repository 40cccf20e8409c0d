"""JSON with comments and trailing commas; duplicate keys and NaN, which json.loads accepts, are rejected."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z)'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,40}")
MAX_DEPTH = 20


def parse_json(text: str) -> Any:
    """Parse JSON. Raises ValueError with line and column, without quoting any value."""
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        try:
            value = _loads(_plain(text))
        except json.JSONDecodeError:
            quotes = '; use straight quotes (")' if re.search("[“”„‘’«]", text) else ""
            raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}{quotes}") from None
    _check_depth(value)
    return value


def shown_key(key: str) -> str:
    """A key for a message, hidden if it is not a valid name."""
    return repr(key) if _NAME.fullmatch(key) else "with an invalid name"


def _loads(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _plain(text: str) -> str:
    """Blank out comments and trailing commas; lines and columns are kept."""
    without = _COMMENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)
    return _COMMA.sub(lambda match: match[1] or " ", without)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"duplicate key {shown_key(key)}; keep one")
        seen[key] = value
    return seen


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a valid number")


def _integer(digits: str) -> int:
    if len(digits) > 300:
        raise ValueError("it contains a number of more than 300 digits")
    return int(digits)


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(each, depth + 1)
