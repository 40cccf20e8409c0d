"""Values that a Stratum server sends, each read with a bound: what is wrong is a BadValue that says which and why."""

from __future__ import annotations

import math
from typing import NamedTuple

from solominer.errors import BadValue

MAX_NAME = 128
"""Characters of a job id or a session id."""

MAX_EXTRANONCE = 32
"""Bytes of each half of an extranonce."""


def hex_bytes(value: object, name: str, least: int, most: int) -> bytes:
    """The bytes in hex digits. Raises BadValue unless there are `least` to `most`; `name` is for the message."""
    if not isinstance(value, str):
        raise BadValue(f"{name} is no text")
    if len(value) > 2 * most:
        raise BadValue(f"{name} has more than {most} bytes")
    try:
        data = bytes.fromhex(value)
    except ValueError:
        raise BadValue(f"{name} is not in hex digits") from None
    if 2 * len(data) != len(value):
        raise BadValue(f"{name} has blanks in it")
    if len(data) < least:
        raise BadValue(f"{name} has {len(data)} bytes instead of {'at least ' if most > least else ''}{least}")
    return data


class Subscription(NamedTuple):
    """The result of mining.subscribe; `session_id` is "" where the server names none."""

    session_id: str
    extranonce1: bytes
    extranonce2_size: int


def read_subscription(result: object) -> Subscription:
    """What a server answered to mining.subscribe: [[[method, id], ...], extranonce1, size]. Raises BadValue."""
    if not isinstance(result, list) or len(result) < 3:
        raise BadValue("the answer to mining.subscribe is no list of three")
    extranonce1, size = read_extranonce(result[1:3])
    return Subscription(_session_id(result[0]), extranonce1, size)


def read_extranonce(params: object) -> tuple[bytes, int]:
    """Extranonce1 and the size of extranonce2 in bytes, from [hex, size]. Raises BadValue."""
    if not isinstance(params, list) or len(params) < 2:
        raise BadValue("extranonce1 and the size of extranonce2 are missing")
    extranonce1 = hex_bytes(params[0], "extranonce1", 0, MAX_EXTRANONCE)
    size = params[1]
    if isinstance(size, bool) or not isinstance(size, int):
        raise BadValue("the size of extranonce2 is no whole number")
    if not 1 <= size <= MAX_EXTRANONCE:
        raise BadValue(f"the size of extranonce2 is not between 1 and {MAX_EXTRANONCE} bytes")
    return extranonce1, size


def _session_id(subscriptions: object) -> str:
    """The id beside `mining.notify`; some servers send one pair instead of a list of them."""
    pairs = subscriptions if isinstance(subscriptions, list) else []
    for pair in (pairs, *pairs):
        if isinstance(pair, list) and len(pair) == 2 and pair[0] == "mining.notify" and isinstance(pair[1], str):
            return pair[1][:MAX_NAME]
    return ""


def read_mask(value: object) -> int:
    """A mask of version bits in up to eight hex digits. Raises BadValue."""
    try:
        if isinstance(value, str) and 0 < len(value) <= 10 and value.isalnum():
            mask = int(value, 16)
            if 0 <= mask <= 0xFFFFFFFF:
                return mask
    except ValueError:
        pass
    raise BadValue("the mask of version bits is not in up to eight hex digits")


def read_difficulty(params: object) -> float:
    """The difficulty in the parameters of mining.set_difficulty. Raises BadValue unless it is positive and finite."""
    value = params[0] if isinstance(params, list) and params else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue("mining.set_difficulty names no number")
    try:
        difficulty = float(value)
    except OverflowError:
        difficulty = math.inf
    if not 0 < difficulty < math.inf:
        raise BadValue("the difficulty of mining.set_difficulty is not positive and finite")
    return difficulty


def read_reconnect(params: object) -> tuple[str, int, float]:
    """Host, port and seconds to wait, from the parameters of client.reconnect. Raises BadValue.

    A host of "" and a port of 0 mean those of the connection.
    """
    host, port, wait_secs = (*params[:3], None, None, None)[:3] if isinstance(params, list) else (None, None, None)
    host = "" if host is None else host
    if not isinstance(host, str) or len(host) > 255 or not all(each.isalnum() or each in "-._:" for each in host):
        raise BadValue("client.reconnect names no host")
    try:
        number, secs = int(port or 0), float(wait_secs or 0)
    except (TypeError, ValueError, OverflowError):
        raise BadValue("client.reconnect: port or waiting time is no number") from None
    if not 0 <= number <= 65535 or not 0 <= secs < math.inf:
        raise BadValue("client.reconnect: port or waiting time is out of range")
    return host, number, secs
