"""Usernames, passwords and other text that a client sends: taken apart, and made safe to show."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solominer.errors import shortened

MAX_WORKER_NAME = 64
MAX_ADDRESS = 90
MAX_USER_AGENT = 128


def clean_text(text: str, limit: int) -> str:
    """`text` for logs, records and pages: what is not printable ASCII becomes `?`; of a long one both ends are kept."""
    text = shortened(text, limit)
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)


@dataclass(frozen=True, slots=True)
class Username:
    """`address[.worker]`. `address` is empty where the first part cannot be one; `name` is clean and for people."""

    address: str
    worker: str
    name: str


def parse_username(text: str) -> Username:
    """Take a username apart at its first dot. The address is not checked here: the node knows addresses."""
    head, _, worker = text.partition(".")
    could_be = 14 <= len(head) <= MAX_ADDRESS and head.isascii() and head.isalnum()
    name = clean_text(text, MAX_ADDRESS + 1 + MAX_WORKER_NAME if could_be else MAX_WORKER_NAME)
    return Username(head if could_be else "", clean_text(worker, MAX_WORKER_NAME), name or "?")


@dataclass(frozen=True, slots=True)
class PasswordOptions:
    """What a password asks for: a difficulty to start with and never go below, or a fixed one. 0 is: not asked."""

    least_difficulty: float = 0.0
    fixed_difficulty: float = 0.0


def parse_password(text: object) -> PasswordOptions:
    """`d=N` (also `diff=N`) and `x=N` in a password such as `x,d=1024`; whatever else it holds is ignored.

    `d=N`: start at N and never go below it. `x=N`: exactly N, no vardiff. What is not a positive number is ignored.
    """
    if not isinstance(text, str) or "=" not in text:
        return PasswordOptions()
    found = {"d": 0.0, "x": 0.0}
    for part in text[:256].replace(";", ",").split(","):
        key, _, value = part.strip().partition("=")
        key = "d" if key == "diff" else key
        if key in found and (number := positive_number(value)):
            found[key] = number
    return PasswordOptions(found["d"], found["x"])


def positive_number(value: object) -> float:
    """`value`, a number or its text, if it is finite and above zero; else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    if isinstance(value, str) and (len(value) > 32 or "_" in value or not value.isascii()):
        return 0.0
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
