"""The reader of values from outside: for any JSON, each reader returns its own type within its bounds, or raises the
one error that its owner set; messages are short.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.fields import Field, decode, shown
from solominer.errors import BadValue, PriceError

hex_texts = st.from_regex("[0-9a-fA-F]{0,66}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | hex_texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("a"), inner))

READERS: list[tuple[Callable[[Field], object], Callable[[Any], bool]]] = [
    (lambda field: field.integer(-5, 1000), lambda value: type(value) is int and -5 <= value <= 1000),
    (lambda field: field.number(-5, 1000), lambda value: type(value) is float and -5 <= value <= 1000),
    (lambda field: field.number(-math.inf, math.inf), lambda value: type(value) is float and math.isfinite(value)),
    (lambda field: field.flag(), lambda value: type(value) is bool),
    (lambda field: field.text(7), lambda value: type(value) is str and len(value) <= 7),
    (lambda field: field.hex_bytes(3), lambda value: type(value) is bytes and len(value) <= 3),
    (lambda field: field.hex_number(1, 8), lambda value: type(value) is int and 0 <= value < 1 << 32),
    (lambda field: field.hash_le(), lambda value: type(value) is bytes and len(value) == 32),
    (lambda field: field.items(2), lambda value: len(value) <= 2 and all(type(each) is Field for each in value)),
    (lambda field: dict(field.members()), lambda value: all(type(each) is Field for each in value.values())),
    (lambda field: field["a"], lambda value: type(value) is Field),
    (lambda field: field.get("a"), lambda value: value is None or type(value) is Field),
]


@given(values)
def test_each_reader_keeps_to_its_bounds(value: object) -> None:
    for read, fits in READERS:
        try:
            result = read(Field(value, "the field", PriceError))
        except PriceError as error:
            said = error.what
        else:
            assert fits(result)
            continue
        assert "the field" in said
        assert len(said) < 300


@pytest.mark.parametrize(
    "wild", [10**5000, "x" * 10_000_000, ["x"] * 1_000_000, {"a": 1}, b"1", math.inf, math.nan], ids=range(7)
)
def test_values_of_any_size_are_refused_shortly(wild: object) -> None:
    for read, _ in READERS[:9]:
        with pytest.raises(BadValue) as caught:
            read(Field(wild, "n"))
        assert len(caught.value.what) < 200


def test_names_lead_to_the_field() -> None:
    field = Field({"a": [{"b": None}]}, "reply")
    with pytest.raises(BadValue, match=r"reply.a\[0\] has no 'b'"):
        field["a"].items(1)[0]["b"]
    assert Field(" 1.5 ", "n").number(0, 2) == 1.5
    assert Field("0f", "n").hex_number(1, 8) == 15
    assert Field("00ff", "n").hex_bytes(2) == b"\0\xff"


@pytest.mark.parametrize("text", ["00 f", " 0ff", "0x10", "+0ff", "0_ff", "00f", "٠٠٠٠"])
def test_hex_is_hex_alone(text: str) -> None:
    """int() and bytes.fromhex() take blanks, signs, underlines, prefixes and other scripts' digits."""
    with pytest.raises(BadValue):
        Field(text, "n").hex_bytes(10)
    if text != "00f":
        with pytest.raises(BadValue):
            Field(text, "n").hex_number(1, 8)


@given(st.binary() | values.map(repr).map(str.encode))
def test_decoding_raises_one_error(data: bytes) -> None:
    with suppress(BadValue):
        decode(data)


@pytest.mark.parametrize("data", [b"[" * 5000 + b"]" * 5000, b"9" * 5000, b"NaN", b'"\\ud800"', b"\xef\xbb\xbf{}", b""])
def test_what_other_decoders_take_or_die_of(data: bytes) -> None:
    with pytest.raises(BadValue, match="not JSON"):
        decode(data)


def test_a_value_is_shown_escaped_and_short() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list of 1"
    assert shown("\x1b[31m\n") == r"'\x1b[31m\n'"
    assert len(shown("\0" * 10_000_000)) == 80
