"""The JSON files of a cluster: read with bounds, every fault with what to do; written for their owner alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solominer.config.paths import plain_bytes, read_file, reason
from solominer.errors import ConfigError
from solominer.records.tree import atomic_write

MOST_BYTES = 4 << 20


def read_json(path: Path, form: str, again: str) -> Mapping[str, Any]:
    """The object in a file whose `format` is `form`, such as "solominer-join/1". Raises ConfigError; `again` helps."""
    kind = form.partition("/")[0]
    try:
        data = read_file(path, MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}", again) from None
    try:
        values = json.loads(plain_bytes(data)) if len(data) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        values = None
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(found, str) or found.partition("/")[0] != kind:
        raise ConfigError(f"{path} is not a {kind} file", again)
    if found != form:
        raise ConfigError(f"{path} is {found:.40}, and this version reads {form}", "install the same version as there")
    return values


def text_in(values: Mapping[str, Any], key: str, path: Path, again: str) -> str:
    """A text that is not empty. Raises ConfigError."""
    if not isinstance(value := values.get(key), str) or not value:
        raise ConfigError(f"{path}: {key} is missing or not a text", again)
    return value


def texts_in(
    values: Mapping[str, Any], key: str, path: Path, again: str, *, may_be_empty: bool = False
) -> tuple[str, ...]:
    """A list of texts, at least one unless it may be empty. Raises ConfigError."""
    value = values.get(key)
    is_list = isinstance(value, list) and all(isinstance(each, str) and each for each in value)
    if not is_list or not (value or may_be_empty):
        raise ConfigError(f"{path}: {key} is missing or not a list of texts", again)
    return tuple(value or ())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, replacing the old one at once. Raises OSError."""
    atomic_write(path, text.encode(), durable=True, mode=0o600)
