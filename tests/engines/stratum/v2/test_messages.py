"""Messages and frames: there and back, known bytes, and whatever else may arrive."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.engines.stratum.v2 import messages
from solominer.engines.stratum.v2.fields import (
    BOOL,
    BYTES_32,
    BYTES_64K,
    F32,
    HASHES,
    MAYBE_U32,
    NUMBERS,
    TEXT,
    U8,
    U16,
    U32,
    U64,
    U256,
)
from solominer.engines.stratum.v2.frames import MOST_BYTES, PIECE_BYTES, FrameReader
from solominer.engines.stratum.v2.messages import BY_KIND, FORMS, Form, decode
from solominer.engines.stratum.v2.noise import Cipher
from solominer.errors import BadValue, DecodeError, TrailingData, Truncated
from tests.engines.stratum.v2.miner import framed

KEY = bytes(range(32))
U32_VALUES = st.integers(0, 2**32 - 1)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    id(U8): st.integers(0, 255),
    id(U16): st.integers(0, 2**16 - 1),
    id(U32): U32_VALUES,
    id(U64): st.integers(0, 2**64 - 1),
    id(F32): st.floats(width=32, allow_nan=False),
    id(U256): st.binary(min_size=32, max_size=32),
    id(BOOL): st.booleans(),
    id(TEXT): st.text("aé\0\u20ac\U0001f600", max_size=60),
    id(BYTES_32): st.binary(max_size=32),
    id(BYTES_64K): st.binary(max_size=300),
    id(MAYBE_U32): st.none() | U32_VALUES,
    id(HASHES): st.lists(st.binary(min_size=32, max_size=32), max_size=5).map(tuple),
    id(NUMBERS): st.lists(U32_VALUES, max_size=5).map(tuple),
}


def values_of(form: Form) -> st.SearchStrategy[Any]:
    return st.tuples(*(VALUES[id(field)] for field in form._fields)).map(form._make)


@pytest.mark.parametrize("message", FORMS, ids=lambda message: str(message.__name__))
def test_each_message_there_and_back(message: type) -> None:
    form = FORMS[message]

    @settings(max_examples=40)
    @given(values_of(form))
    def there_and_back(values: Any) -> None:
        payload = form.encode(values)
        assert decode(form.kind, payload) == values
        assert type(decode(form.kind, payload)) is message
        with pytest.raises(TrailingData):
            decode(form.kind, payload + b"\0")
        for cut in {len(payload) - 1, len(payload) // 2, 0}:
            with pytest.raises(DecodeError):
                decode(form.kind, payload[:cut])

    there_and_back()


@settings(max_examples=400)
@given(st.sampled_from(sorted(BY_KIND)), st.binary(max_size=400))
def test_bad_bytes_are_a_decode_error_or_a_message(kind: int, payload: bytes) -> None:
    try:
        message = decode(kind, payload)
    except DecodeError:
        return
    assert message is not None
    for value in message:
        if isinstance(value, float) and math.isnan(value):
            return
    if kind != 0x1F:  # its BOOL has seven bits that mean nothing
        assert BY_KIND[kind].encode(message) == payload


def test_known_bytes() -> None:
    """Each field where the specification has it."""
    form = FORMS[messages.SetupConnection]
    wanted = "00 0200 0200 04000000 02 6161 050d 01 76 01 68 01 66 00".replace(" ", "")
    setup = messages.SetupConnection(0, 2, 2, 4, "aa", 3333, "v", "h", "f", "")
    assert form.encode(setup).hex() == wanted
    form = FORMS[messages.NewMiningJob]
    assert (
        form.encode((7, 8, None, 0x20000000, bytes(32))).hex()
        == "07000000 08000000 00 00000020".replace(" ", "") + 64 * "0"
    )
    assert form.encode((7, 8, 1, 2, bytes(32)))[8:13].hex() == "0101000000"
    assert (form.kind, form.channel) == (0x15, True)


def test_unknown_kinds_are_left_out() -> None:
    assert decode(0x22, b"whatever") is None


def test_a_text_that_is_no_utf_8() -> None:
    with pytest.raises(BadValue, match="UTF-8"):
        decode(0x12, bytes(4) + b"\x01\xff")


def test_more_than_one_value_in_an_option() -> None:
    with pytest.raises(BadValue, match="2 values"):
        decode(0x15, bytes(8) + b"\x02" + bytes(44))


def test_frames_have_the_specified_sizes() -> None:
    cipher = Cipher(KEY)
    assert len(framed(cipher, 1, b"", channel=False)) == 22
    assert len(framed(cipher, 1, b"x", channel=False)) == 22 + 17
    assert len(framed(cipher, 1, bytes(PIECE_BYTES), channel=False)) == 22 + 65_535
    assert len(framed(cipher, 1, bytes(PIECE_BYTES + 1), channel=False)) == 22 + 65_535 + 17
    header = Cipher(KEY).decrypt(framed(Cipher(KEY), 0x1F, bytes(0x010203), channel=True)[:22])
    assert header.hex() == "00801f030201"


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200), st.booleans()), max_size=6),
    st.lists(st.integers(0, 300), max_size=20),
)
def test_frames_in_whatever_packets(sent: list[tuple[int, bytes, bool]], cuts: list[int]) -> None:
    cipher, reader = Cipher(KEY), FrameReader(Cipher(KEY), 1000)
    data = b"".join(framed(cipher, kind, payload, channel=channel) for kind, payload, channel in sent)
    found = []
    for cut in [*cuts, len(data)]:
        found += reader.feed(data[:cut])
        data = data[cut:]
    assert found == [(0x8000 if channel else 0, kind, payload) for kind, payload, channel in sent]
    assert reader.problem is None


def test_a_payload_of_several_pieces() -> None:
    payload = bytes(range(256)) * 800
    reader = FrameReader(Cipher(KEY), MOST_BYTES)
    assert reader.feed(framed(Cipher(KEY), 9, payload, channel=False)) == [(0, 9, payload)]


def test_a_changed_bit_anywhere_in_a_frame_is_refused() -> None:
    data = framed(Cipher(KEY), 0x1A, bytes(24), channel=True)
    for place in range(len(data)):
        reader = FrameReader(Cipher(KEY), 1000)
        assert reader.feed(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]) == []
        assert isinstance(reader.problem, BadValue)
        assert reader.feed(data) == []


def test_frames_before_a_bad_one_are_read() -> None:
    cipher, reader = Cipher(KEY), FrameReader(Cipher(KEY), 1000)
    good = framed(cipher, 1, b"good", channel=False)
    assert reader.feed(good + bytes(22)) == [(0, 1, b"good")]
    assert reader.problem is not None


def test_frames_that_are_swapped_or_repeated_are_refused() -> None:
    cipher = Cipher(KEY)
    one, two = (framed(cipher, 1, payload, channel=False) for payload in (b"one", b"two"))
    for data in (two, one + one):
        reader = FrameReader(Cipher(KEY), 1000)
        reader.feed(data)
        assert reader.problem is not None


def test_a_message_that_is_too_long_is_refused_by_its_header() -> None:
    reader = FrameReader(Cipher(KEY), 1000)
    reader.feed(framed(Cipher(KEY), 1, bytes(1001), channel=False)[:22])
    assert "1001 bytes" in str(reader.problem)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    reader = FrameReader(Cipher(KEY), 1000)
    assert reader.feed(data) == []
    assert (reader.problem is None) == (len(data) < 22)


def test_truncated_says_how_much() -> None:
    with pytest.raises(Truncated, match="3 bytes too early"):
        decode(0x21, bytes(33))
