"""Wild JSON: one place of a true value replaced by something of any type, sign, size, depth or encoding."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

RAW = {
    "@NaN@": b"NaN",
    "@Infinity@": b"-Infinity",
    "@400 digits@": b"9" * 400,
    "@5000 digits@": b"9" * 5000,
    "@65 bits@": b"18446744073709551616",
    "@exponent@": b"1e400",
    "@surrogate@": b'"\\ud800"',
    "@latin@": b'"\xff\xfe"',
    "@deep list@": b"[" * 3000 + b"]" * 3000,
    "@deep object@": b'{"a":' * 900 + b"1" + b"}" * 900,
    "@twice@": b'{"a":1,"a":"2"}',
    "@cut@": b'{"a":',
    "@control@": b'"\x00\x1b[2J"',
}
"""Stand-ins for what json.dumps would not write."""

_NUMBERS = (0, 1, -1, 2, 99, 100, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1)
_OTHERS: tuple[Any, ...] = (
    *(None, True, False, 0.5, -0.0, 1.0, 1e300, -1e-300, "", " ", "0", "-1", "0x10", "1e9", "null", "NaN", "text"),
    *(
        "00" * 32,
        "ff" * 32,
        "f" * 63,
        "G" * 64,
        "00 " * 21 + "0",
        "207fffff",
        "\x00\x1b[2J\r\n",
        "\u202eabc",
        "٣",
        "é" * 64,
    ),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": []}}, ["x"] * 1000, {str(n): n for n in range(200)}),
    *("x" * 100_000, [0] * 20_000, *RAW),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a value, itself first; of a long list the first two members."""
    yield path
    members: Any = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, member in members:
        yield from places(member, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of `value` with something else at a place."""
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy of `value` that lacks a place."""
    *parents, key = path
    parent: Any = value
    for each in parents:
        parent = parent[each]
    rest = (
        [v for i, v in enumerate(parent) if i != key]
        if isinstance(parent, list)
        else {name: member for name, member in parent.items() if name != key}
    )
    return replaced(value, tuple(parents), rest)


def wild(rng: random.Random, true: Any) -> Any:
    """Something in the place of `true`."""
    kind = rng.randrange(8)
    if kind < 2:
        return rng.choice(_NUMBERS) * rng.choice((1, 1, -1))
    if kind == 2 and isinstance(true, int | float):
        return rng.choice((-true, true + 1, true - 1, true * 2, float(true), str(true), true + 2**32, [true]))
    if kind == 2 and isinstance(true, str):
        return rng.choice(
            (true[::-1], true[:-1], true + true, true.upper(), f" {true}", [true], {"a": true}, true.encode().hex())
        )
    if kind == 3:
        return [true, true]
    return rng.choice(_OTHERS)


def encoded(value: Any) -> bytes:
    """As JSON, with what the stand-ins stand for."""
    text = json.dumps(value).encode()
    for name, raw in RAW.items():
        text = text.replace(json.dumps(name).encode(), raw)
    return text


def wild_body(rng: random.Random, true_result: Any, request_id: Any) -> bytes:
    """The body of a reply with one thing wrong in it, anywhere from its envelope to its deepest field."""
    reply = {"result": true_result, "error": None, "id": request_id}
    spots = list(places(reply))
    deep = [spot for spot in spots if spot[:1] == ("result",)]
    path = rng.choice(deep if deep and rng.randrange(8) else spots)
    if path and rng.randrange(6) == 0:
        return encoded(without(reply, path))
    true = reply
    for key in path:
        true = true[key]
    return encoded(replaced(reply, path, wild(rng, true)))
