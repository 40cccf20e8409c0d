"""Typed and bounded access to external JSON values: replies, requests and files.

`decode` uses orjson: it rejects NaN, infinity, lone surrogates, invalid UTF-8 and more than 1024 levels; the last value
of a duplicate key is used, and integers beyond 64 bits become floats, which `Field.integer` rejects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import orjson

from solominer.chain.hashes import from_rpc_hex
from solominer.errors import BadValue

MAX_HEIGHT = 0x7FFFFFFF
MAX_TIME = 0xFFFFFFFF
"""Of a block header: Unix seconds in 32 bits."""

MAX_NAME = 200
"""Maximum characters of a name: a network, a version, a wallet, a ZMQ address."""

_HEX = re.compile("[0-9a-fA-F]*")


def decode(data: bytes | str) -> object:
    """The JSON value in `data`. Raises BadValue."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadValue(f"not JSON: {str(error)[:100]}") from None


def shown(value: object) -> str:
    """A value of any size and depth for a message, escaped and shortened."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    return repr(value[:81] if isinstance(value, str) else value)[:80]


class Field:
    """An external value, and its `name` for messages. Each method returns the value in the requested form, or raises
    the error that `refuse` makes of a message.
    """

    __slots__ = ("_refuse", "name", "value")

    def __init__(self, value: object, name: str, refuse: Callable[[str], Exception] = BadValue) -> None:
        self.value, self.name, self._refuse = value, name, refuse

    def __getitem__(self, key: str) -> Field:
        """The required member `key` of an object."""
        found = self.get(key)
        if found is None:
            raise self._refuse(f"{self.name} has no {key!r}")
        return found

    def get(self, key: str) -> Field | None:
        """The member `key` of an object; None if it is missing or null."""
        value = self._object().get(key)
        return None if value is None else self._part(value, f"{self.name}.{key}")

    def members(self) -> Iterator[tuple[str, Field]]:
        """Keys and values of an object."""
        return ((key, self._part(value, f"{self.name}.{key:.40}")) for key, value in self._object().items())

    def items(self, most: int) -> list[Field]:
        """The members of a list of at most `most`."""
        if not isinstance(self.value, list) or len(self.value) > most:
            raise self.refused(f"a list of at most {most}")
        return [self._part(value, f"{self.name}[{index}]") for index, value in enumerate(self.value)]

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`; not true, not 1.0."""
        value = self.value
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refused(f"a whole number from {low} to {high}")
        return value

    def number(self, low: float, high: float) -> float:
        """A finite number from `low` to `high`, or a string with one."""
        value, number = self.value, math.nan
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            with suppress(ValueError, OverflowError):
                number = float(value)
        if not low <= number <= high or not math.isfinite(number):
            raise self.refused("a number" if math.isinf(high) else f"a number from {low:g} to {high:g}")
        return number

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.refused("true or false")
        return self.value

    def text(self, most: int = MAX_NAME) -> str:
        """A text of at most `most` characters."""
        if not isinstance(self.value, str) or len(self.value) > most:
            raise self.refused(f"a text of at most {most} characters")
        return self.value

    def hex_bytes(self, most: int) -> bytes:
        """At most `most` bytes, in hex without whitespace."""
        text = self.text(2 * most)
        if not _HEX.fullmatch(text) or len(text) % 2:
            raise self.refused("bytes in hex")
        return bytes.fromhex(text)

    def hex_number(self, fewest: int, most: int) -> int:
        """A number written in `fewest` to `most` hex digits."""
        text = self.text()
        if not fewest <= len(text) <= most or not _HEX.fullmatch(text):
            raise self.refused(f"{fewest} to {most} hex digits" if fewest < most else f"{most} hex digits")
        return int(text, 16)

    def hash_le(self) -> bytes:
        """A 32-byte hash as RPC shows it, in internal byte order."""
        try:
            return from_rpc_hex(self.text())
        except BadValue:
            raise self.refused("a hash of 64 hex digits") from None

    def refused(self, wanted: str) -> Exception:
        """The error that this value is not `wanted`."""
        return self._refuse(f"{self.name} is {shown(self.value)}, not {wanted}")

    def _object(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self.refused("an object")
        return self.value

    def _part(self, value: object, name: str) -> Field:
        return Field(value, name, self._refuse)
