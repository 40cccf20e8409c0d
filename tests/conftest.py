"""What holds for every test.

The program's logging begins as that of a library does, with nothing set up. Hypothesis does not mind a machine that is
slow for a moment: how fast examples are made is no property of the program.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("solominer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("solominer")


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
