"""The system's Chromium, driven by Playwright: offline but for the page's own origin, with everything odd recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)
WIDTHS = {"phone": (390, 844), "tablet": (820, 1180), "desk": (1440, 900)}

expect.set_options(timeout=30_000)  # how soon a browser draws is no property of the page


def installed() -> str | None:
    """Path of the system's Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser, with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seen:
    """What a page did: its requests, and complaints: CSP violations, uncaught errors, errors on the console."""

    urls: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def foreign(self, origin: str) -> list[str]:
        """Requests to elsewhere."""
        return [url for url in self.urls if urlsplit(url)[:2] != urlsplit(origin)[:2]]


def watch(page: Page) -> Seen:
    """Record what the page does from now on."""
    seen = Seen()
    page.on("request", lambda request: seen.urls.append(request.url))
    page.on("pageerror", lambda error: seen.complaints.append(f"uncaught: {error}"))
    page.on("console", lambda message: seen.complaints.append(message.text) if _is_bad(message) else None)
    return seen


def _is_bad(message: Any) -> bool:
    return message.type == "error" and "Failed to load resource" not in message.text


def answer(page: Page, answers: Mapping[str, Any]) -> None:
    """Answer the API's GET requests with `answers`: JSON values by path, with or without the query; None is a 503.

    Others reach the server. `answers` may change later.
    """

    def fulfill(route: Route) -> None:
        url = urlsplit(route.request.url)
        path = url.path.removeprefix("/api/v1")
        key = next((key for key in (f"{path}?{url.query}", path) if key in answers), None)
        if key is None or route.request.method != "GET":
            route.continue_()
        elif answers[key] is None:
            route.fulfill(status=503, json={"error": "the index is being rebuilt", "todo": "wait a minute"})
        else:
            route.fulfill(status=200, content_type="application/json", body=json.dumps(answers[key]))

    page.route("**/api/v1/**", fulfill)


def axe_violations(page: Page, axe: Path) -> list[str]:
    """What axe-core finds serious or critical, a line each."""
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
