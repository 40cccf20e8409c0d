"""Records that a test may change, and a server on them that reads them at each request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from solominer.web import hub, live
from tests.web.records import RecentHours
from tests.web.serving import Served, serving, setup_of


@pytest.fixture
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are read at each request, not once a second."""
    monkeypatch.setattr(live, "FRESH_SECS", 0.0)
    monkeypatch.setattr(hub, "FRESH_SECS", 0.02)


@pytest.fixture
def recent(tmp_path: Path) -> Iterator[RecentHours]:
    """Records of the last hours; the run is open until the test ends it."""
    hours = RecentHours(tmp_path / "data")
    yield hours
    hours.recorder.close(hours.now_hour + 500)


@pytest.fixture
def served(recent: RecentHours, always_fresh: None) -> Iterator[Served]:
    """A server on the records of the last hours; no daemon answers."""
    with serving(setup_of(recent.bench.root)) as served:
        yield served
