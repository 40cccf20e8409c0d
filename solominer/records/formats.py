"""Files of another version of solominer: told as that, for they are not damaged."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from solominer.chain.fields import decode, shown
from solominer.errors import BadValue


class HasFormat(Protocol):
    """What a file of ours is decoded to."""

    @property
    def format(self) -> str:
        """The kind of file and its version."""


T = TypeVar("T", bound=HasFormat)


class OtherVersion(BadValue):
    """The file is of another version of solominer."""


def decode_file(data: bytes, kind: type[T], form: str) -> T:
    """JSON whose `format` is `form`, such as "solominer-web-alerts/1". Raises OtherVersion, or BadValue for damage."""
    try:
        file = msgspec.json.decode(data, type=kind)
        if file.format == form:
            return file
        problem = f"format {file.format!r:.60}"
    except msgspec.MsgspecError as error:
        problem = str(error)
    if other := other_version(data, form):
        raise OtherVersion(other)
    raise BadValue(problem)


def other_version(data: bytes, form: str) -> str:
    """What to say of JSON whose `format` is another version of `form`; else ''."""
    try:
        value = decode(data)
    except BadValue:
        return ""
    found = value.get("format") if isinstance(value, dict) else None
    if not isinstance(found, str) or found == form or found.partition("/")[0] != form.partition("/")[0]:
        return ""
    return f"it is of another version of solominer: {shown(found)}, and this one reads {form}"
