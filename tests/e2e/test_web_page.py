"""The page of a real miner on a private regtest node, in the system's Chromium."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs playwright")

from playwright.sync_api import Browser, Page, expect

from solominer.node.private.bitcoind import BitcoindBinary
from tests.ports import free_port
from tests.web.browser import axe_violations, chromium, installed, watch
from tests.web.conftest import AXE

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(installed() is None, reason="needs Chromium or Chrome on PATH"),
]

ROOT = Path(__file__).parents[2]
WAIT_SECS = 60
WAIT_MS = 1000 * WAIT_SECS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def running(*arguments: str, folder: Path, port: int, until: str) -> Iterator[None]:
    """A `solominer` process that has said `until`. Ends it with SIGTERM."""
    path = folder / f"{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "solominer", *arguments, "--mode", "regtest", "--data-dir", str(folder / "data")]
    environ = {**os.environ, "SOLOMINER_CACHE": str(ROOT / ".cache"), "SOLOMINER_WEB__LISTEN": f"127.0.0.1:{port}"}
    with path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environ)
    try:
        deadline = time.monotonic() + WAIT_SECS
        while until not in path.read_text():
            assert process.poll() is None, path.read_text()
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.1)
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECS)
    finally:
        process.kill()
        process.wait()


def shown(page: Page, name: str, text: str | re.Pattern[str]) -> None:
    """The widget contains the text, sooner or later."""
    locator = page.locator(name if name.startswith("#") else f"[data-widget={name}]")
    expect(locator).to_contain_text(text, timeout=WAIT_MS)


def test_a_run_with_its_page(bitcoind_binary: BitcoindBinary, browser: Browser, tmp_path: Path) -> None:
    """Blocks appear and are verified in the browser; pause and resume; no request leaves, CSP holds, axe is content."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    page = browser.new_page()
    seen = watch(page)
    with running("run", "--plain", "--web", folder=tmp_path, port=port, until=f"the web page is at {url}"):
        page.goto(url)
        shown(page, "test-chain", "regtest")
        shown(page, "blocks", re.compile(r"\d BTC"))
        expect(page.locator("[data-widget=found]")).to_have_count(0)
        page.get_by_role("button", name="Pause").click()
        shown(page, "#working", "Paused: by hand")
        page.get_by_role("button", name="Verify").first.click(timeout=WAIT_MS)
        shown(page, "blocks", "The proof holds")
        shown(page, "scatter", re.compile(r"\d+ shares? in"))
        shown(page, "nodes", "private")
        if AXE.exists():
            assert axe_violations(page, AXE) == []
        height = page.locator("[data-value=tip] small")
        paused_at = height.inner_text()
        page.get_by_role("button", name="Resume").click()
        expect(height).not_to_have_text(paused_at, timeout=WAIT_MS)
        shown(page, "coinbase", "bcrt1")
        assert seen.complaints == []
        assert seen.foreign(url) == []
    page.close()


def test_a_page_over_a_restart_of_the_daemon(bitcoind_binary: BitcoindBinary, browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    page = browser.new_page()
    with running("web", folder=tmp_path, port=port, until="the web page is at"):
        page.goto(f"http://127.0.0.1:{port}/")
        shown(page, "#working", "The daemon is not running")
        with running("run", "--plain", folder=tmp_path, port=port, until="BLOCK FOUND"):
            shown(page, "coinbase", "bcrt1")
        shown(page, "#working", "The daemon has not answered since")
        shown(page, "lost", "Daemon lost since")
        with running("run", "--plain", folder=tmp_path, port=port, until="BLOCK FOUND"):
            expect(page.locator("[data-widget=lost]")).to_have_count(0, timeout=WAIT_MS)
            shown(page, "blocks", "accepted")
    page.close()
