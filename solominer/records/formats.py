"""Files of another version of solominer: told as that, for they are not damaged."""

from __future__ import annotations

from solominer.chain.fields import decode, shown
from solominer.errors import BadValue


def other_version(data: bytes, form: str) -> str:
    """What to say of JSON whose `format` is another version of `form`, such as "solominer-web-tokens/1"; else ''."""
    try:
        value = decode(data)
    except BadValue:
        return ""
    found = value.get("format") if isinstance(value, dict) else None
    if not isinstance(found, str) or found == form or found.partition("/")[0] != form.partition("/")[0]:
        return ""
    return f"it is of another version of solominer: {shown(found)}, and this one reads {form}"
