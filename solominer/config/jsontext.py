"""JSON as people write it: comments and commas too many are passed over, what would be lost in silence is refused."""

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
    """The value. Raises ValueError with line and column, or with what is wrong; no value is repeated."""
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        try:
            value = _loads(_plain(text))
        except json.JSONDecodeError:
            quotes = "; quotes must be straight ones" if re.search("[“”„‘’«]", text) else ""
            raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}{quotes}") from None
    _check_depth(value)
    return value


def shown_key(key: str) -> str:
    """A key for a message, if it is the name of something."""
    return repr(key) if _NAME.fullmatch(key) else "with a name that is none"


def _loads(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _plain(text: str) -> str:
    """Without comments and commas before a closing bracket; lines and columns stay."""
    without = _COMMENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)
    return _COMMA.sub(lambda match: match[1] or " ", without)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {shown_key(key)} stands there twice; keep one")
        seen[key] = value
    return seen


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number that can be used")


def _integer(digits: str) -> int:
    if len(digits) > 300:
        raise ValueError("it has a number of more than 300 digits")
    return int(digits)


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(each, depth + 1)
