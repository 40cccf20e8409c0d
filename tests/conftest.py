"""What holds for every test.

A test of a whole daemon does not begin in the last seconds of an hour: the files that it looks for would lie in two
folders. The program's logging begins as that of a library does, with nothing set up. Hypothesis does not mind a machine
that is slow for a moment: how fast examples are made is no property of the program.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("solominer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("solominer")

HOUR_SECS = 3600
LAST_SECS_OF_AN_HOUR = {"daemon": 30, "web": 30, "e2e": 30, "faults": 30, "deploy": 30}
"""By the folder of a test, how close to the end of an hour it does not begin."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Runs before the fixtures, so that a run which a whole module looks at lies in one hour too."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    left_secs = HOUR_SECS - time.time() % HOUR_SECS
    if left_secs < LAST_SECS_OF_AN_HOUR.get(folder, 0):
        time.sleep(left_secs)


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
