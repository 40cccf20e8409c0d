"""The content of files that people write, whatever their editor put before it."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def plain_bytes(data: bytes) -> bytes:
    """`data` without a byte order mark; UTF-16 and UTF-32 (Notepad, PowerShell's `>`) become UTF-8.

    Bytes without a mark are left alone. Raises ValueError where the rest is not what the mark says, and for zero
    bytes, which text in UTF-8 has none of.
    """
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    plain = data if encoding is None else data.decode(encoding).encode()
    if b"\0" in plain:
        raise ValueError("it is not text in UTF-8")
    return plain
