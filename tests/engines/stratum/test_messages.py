"""Requests and replies as text: ids of any kind, malformed JSON, names and passwords, mining.configure."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.stratum import messages
from solominer.engines.stratum.configure import configure
from solominer.engines.stratum.names import clean_text, parse_password, parse_username, positive_number


@pytest.mark.parametrize(
    "text",
    ["1", "0", "-7", "4294967296", "1" + "0" * 60, "1.5", "1e3", "null", '"auth"', '"xnsub"', '"\\u00e9\\n"', "true"],
)
def test_ids_are_echoed_as_they_were_written(text: str) -> None:
    request = messages.parse_request(f'{{"method":"mining.ping","id": {text} ,"params":[]}}\r'.encode())
    assert request is not None
    assert request.id_json() == text.encode()
    assert messages.reply_true(request.id_json()) == f'{{"id":{text},"result":true,"error":null}}\n'.encode()


@pytest.mark.parametrize("text", ["[1]", '{"a":1}', '"' + "x" * 300 + '"'])
def test_ids_that_are_not_echoed(text: str) -> None:
    request = messages.parse_request(f'{{"method":"m","id":{text}}}'.encode())
    assert request is not None
    assert request.id_json() == b"null"


@pytest.mark.parametrize(
    "line", [b'{"id":"\xc6","method":"mining.ping"}', b'{"id":1,"method":"mining.ping","x":"\xff"}']
)
def test_what_is_no_utf8_is_no_request(line: bytes) -> None:
    """An id is echoed, so a reply to it would not be JSON either."""
    assert messages.parse_request(line) is None


def test_ids_beyond_ascii_are_echoed() -> None:
    request = messages.parse_request('{"id":"é","method":"mining.ping"}'.encode())
    assert request is not None
    assert request.id_json().decode() == '"é"'


def test_a_missing_id_is_a_notification() -> None:
    for line in (b'{"method":"m"}', b'{"method":"m","id":null}'):
        request = messages.parse_request(line)
        assert request is not None
        assert request.is_notification()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b'"x"',
        b"null",
        b'{"method":5}',
        b'{"method":["x"]}',
        b"\xff\xfe",
        b'{"method":"\xff"}',
        b'{"method":"\\ud800"}',
        b'{"id":01,"method":"x"}',
        b'{"id":1,"method":"x","params":[1e999]}',
        b"{'id':1}",
        b'{"id":1,"method":"x"} extra',
        b"[" * 16_000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b'{"method":"m","params":' + b"[" * 200 + b"]" * 200 + b" " * 200 + b"}",
    ],
)
def test_what_is_no_request(line: bytes) -> None:
    assert messages.parse_request(line) is None


def test_deep_json_is_refused_cheaply() -> None:
    line = b'{"method":"m","params":' + b"[" * 8000 + b"]" * 8000 + b"}"
    start = time.process_time()
    for _ in range(1000):
        assert messages.parse_request(line) is None
    assert time.process_time() - start < 1


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_parsing_never_raises(line: bytes) -> None:
    request = messages.parse_request(line)
    assert request is None or json.loads(request.id_json()) is not ...


def test_difficulties_on_the_wire() -> None:
    for value, text in ((1000.0, b"[1000]"), (0.00015, b"[0.00015]"), (1.5, b"[1.5]"), (4.6565e-10, b"[4.6565e-10]")):
        assert text in messages.set_difficulty(value)


def test_errors_are_an_array_of_three() -> None:
    line = json.loads(messages.reply_error(b"1", messages.Errors.STALE, result=b"false"))
    assert line == {"id": 1, "result": False, "error": [21, "Stale", None]}


@pytest.mark.parametrize(
    ("text", "address", "worker"),
    [
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig.1", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "rig.1"),
        ("1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", ""),
        ("worker1", "", ""),
        ("short.w", "", "w"),
        ("." * 50, "", "." * 49),
        ("x" * 91 + ".a", "", "a"),
        ("bc1q\x00w508d6qejxtdg4y5r3zarvary.a", "", "a"),
    ],
)
def test_usernames(text: str, address: str, worker: str) -> None:
    name = parse_username(text)
    assert (name.address, name.worker) == (address, worker)


def test_of_a_long_name_both_ends_are_kept() -> None:
    name = parse_username("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4." + "x" * 200 + "shelf\u00e9")
    assert name.name.startswith("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.xxx")
    assert name.name.endswith("xxxshelf?")
    assert len(name.name) == 155
    assert clean_text("12345678901", 10) == "1234...901"
    assert clean_text("1234567890", 10) == "1234567890"


@given(st.text(max_size=300))
def test_names_are_printable(text: str) -> None:
    name = parse_username(text)
    for shown, limit in ((name.name, 155), (name.worker, 64), (clean_text(text, 10), 10)):
        assert shown.isascii()
        assert shown == "" or shown.isprintable()
        assert len(shown) <= limit
    assert name.name


@pytest.mark.parametrize(
    ("text", "least", "fixed"),
    [
        ("x", 0, 0),
        ("d=1024", 1024, 0),
        ("x,d=1024", 1024, 0),
        ("x; diff=0.5", 0.5, 0),
        ("x=512", 0, 512),
        ("d=16,x=32", 16, 32),
        ("d=-5", 0, 0),
        ("d=nan", 0, 0),
        ("d=inf", 0, 0),
        ("d=1_0", 0, 0),
        ("d=1e400", 0, 0),
        ("id=5", 0, 0),
        ("d=" + "9" * 500, 0, 0),
        (None, 0, 0),
        (5, 0, 0),
        (["d=1"], 0, 0),
    ],
)
def test_passwords(text: object, least: float, fixed: float) -> None:
    options = parse_password(text)
    assert (options.least_difficulty, options.fixed_difficulty) == (least, fixed)


@given(st.text(max_size=40) | st.floats() | st.integers() | st.none() | st.booleans())
def test_positive_numbers(value: object) -> None:
    assert 0 <= positive_number(value) < float("inf")


@pytest.mark.parametrize(
    ("params", "result"),
    [
        ([["version-rolling"], {}], {"version-rolling": True, "version-rolling.mask": "1fffe000"}),
        (
            [["version-rolling"], {"version-rolling.mask": "0000e000"}],
            {"version-rolling": True, "version-rolling.mask": "0000e000"},
        ),
        ([["version-rolling"], {"version-rolling.mask": "00000001"}], {"version-rolling": False}),
        (
            [["version-rolling"], {"version-rolling.mask": "zz", "version-rolling.min-bit-count": "many"}],
            {"version-rolling": True, "version-rolling.mask": "1fffe000"},
        ),
        ([["minimum-difficulty"], {"minimum-difficulty.value": 2048}], {"minimum-difficulty": True}),
        ([["minimum-difficulty"], {"minimum-difficulty.value": "x"}], {"minimum-difficulty": False}),
        ([["subscribe-extranonce", "info"]], {"subscribe-extranonce": True, "info": True}),
        ([["x", "x", 5, ["y"]], {}], {"x": False}),
        ([], {}),
        (None, {}),
        ({"version-rolling": True}, {}),
        ([["e" * 100, "\u00e9"], {}], {}),
    ],
)
def test_configure(params: Any, result: dict[str, object]) -> None:
    assert configure(params, 0x1FFFE000).result == result


def test_configure_without_bounds() -> None:
    assert len(configure([[f"x{i}" for i in range(1000)], {}], 0).result) == 16
