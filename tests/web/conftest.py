"""One browser for all tests of the page, and axe-core from npm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPO = Path(__file__).parents[2]
CACHE = Path(os.environ.get("SOLOMINER_CACHE") or REPO / ".cache")
AXE = CACHE / "webdeps/node_modules/axe-core/axe.min.js"


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
