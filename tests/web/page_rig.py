"""A page in a browser, with the fake daemon and the answers of the API behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from solominer.views.snapshot import Snapshot
from tests.web import sample
from tests.web.browser import Seen, answer, watch
from tests.web.fake_daemon import FakeDaemon, web_server


@dataclass
class Rig:
    """A page with the daemon and the answers behind it."""

    daemon: FakeDaemon
    url: str
    page: Page
    answers: dict[str, Any]
    seen: Seen

    def tell(self, **changes: Any) -> Snapshot:
        """The daemon's next status: the sample with these changes."""
        self.daemon.snapshot = sample.snapshot(time.time(), **changes)
        return self.daemon.snapshot

    def open(self, **answers: Any) -> None:
        """Open the page; `answers` by the path's last word replace those of the sample."""
        self.answers |= {f"/{name}": value for name, value in answers.items()}
        self.page.goto(self.url)
        expect(self.widget("#working")).to_be_visible()

    def widget(self, name: str) -> Any:
        """The widget of this name, or of this selector."""
        return self.page.locator(name if name.startswith("#") else f"[data-widget={name}]")

    def shows(self, name: str, text: str) -> None:
        """The widget contains the text."""
        expect(self.widget(name)).to_contain_text(text)

    def lacks(self, name: str, text: str) -> None:
        """The widget does not contain the text."""
        expect(self.widget(name)).not_to_contain_text(text)


@contextmanager
def daemon_and_server(folder: Path) -> Iterator[tuple[FakeDaemon, str]]:
    """A fake daemon, and the address of a web server that follows it."""
    daemon = FakeDaemon(folder)
    daemon.start()
    with web_server(folder) as url:
        yield daemon, url
    daemon.stop()


@contextmanager
def page_of(browser: Browser, daemon: FakeDaemon, url: str) -> Iterator[Rig]:
    """A page of its own, not yet open. At the end it must have made no foreign request and complained about nothing."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="Europe/Zurich")
    page = context.new_page()
    answers = sample.answers(time.time())
    rig = Rig(daemon, url, page, answers, watch(page))
    rig.tell()
    answer(page, answers)
    yield rig
    context.close()
    assert rig.seen.complaints == []
    assert rig.seen.foreign(url) == []
