"""What holds for every test: the program's logging begins as that of a library does, with nothing set up."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _logging_of_a_library() -> Iterator[None]:
    """A test or a fixture that sets up the program's logging would keep its lines from the tests behind it."""
    _reset()
    yield
    _reset()


def _reset() -> None:
    root = logging.getLogger("solominer")
    root.handlers.clear()
    root.setLevel(logging.NOTSET)
    root.propagate = True
