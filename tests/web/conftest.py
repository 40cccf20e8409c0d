"""Records that a test may change and a server on them that reads them at each request; one browser, and axe-core."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from solominer.web import hub, live
from tests.web.records import RecentHours
from tests.web.serving import Served, serving, setup_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPO = Path(__file__).parents[2]
CACHE = Path(os.environ.get("SOLOMINER_CACHE") or REPO / ".cache")
AXE = CACHE / "webdeps/node_modules/axe-core/axe.min.js"


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    pytest.importorskip("playwright", reason="needs playwright")
    from tests.web.browser import chromium, installed

    if installed() is None:
        pytest.skip("needs Chromium or Chrome on PATH")
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def axe() -> Path:
    """axe.min.js, of the locked version."""
    if not AXE.exists():
        if not shutil.which("npm"):
            pytest.skip("needs axe-core: npm is not installed")
        subprocess.run([sys.executable, "scripts/vendor-web", "--check"], cwd=REPO, check=True)
    return AXE
