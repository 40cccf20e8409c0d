"""What is served beside the API: the page's files, the plain page, QR codes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient

from solominer.config.web import WebConfig
from solominer.views.snapshot import encode
from solominer.web.api.qr import MAX_TEXT
from solominer.web.app import STATIC, create_app
from solominer.web.setup import WebSetup
from solominer.web.site import Site
from tests.web import sample

MOST_FIRST_PAGE_BYTES = 150_000


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.of(WebSetup(folder=tmp_path, network="mainnet", simulated=False, web=WebConfig()))


@pytest.fixture
async def client(site: Site) -> AsyncIterator[AsyncClient]:
    """Without a daemon: the lifespan, which would look for one, does not run."""
    async with AsyncClient(transport=ASGITransport(create_app(site)), base_url="http://127.0.0.1:3380") as client:
        yield client


def _files() -> list[Path]:
    return [path for path in STATIC.rglob("*") if path.is_file()]


async def test_the_page_is_small_and_compressed(client: AsyncClient) -> None:
    size = 0
    for path in _files():
        if path.suffix in (".html", ".js", ".css", ".svg", ".webmanifest") and path.name != "plain.css":
            response = await client.get(f"/{path.relative_to(STATIC)}", headers={"Accept-Encoding": "gzip"})
            assert response.status_code == 200, path
            size += int(response.headers["content-length"])
    assert 20_000 < size < MOST_FIRST_PAGE_BYTES


async def test_files_are_asked_for_again_and_answered_short(client: AsyncClient) -> None:
    first = await client.get("/js/main.js")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-encoding"] == "gzip"
    again = await client.get("/js/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize(
    "path", ["/", "/js/main.js", "/healthz", "/readyz", "/metrics", "/api/v1/ledger", "/api/docs", "/no"]
)
async def test_head_is_answered_like_get_without_the_body(client: AsyncClient, path: str) -> None:
    get, head = await client.get(path), await client.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert {**head.headers, "content-length": ""} == {**get.headers, "content-length": ""}


async def test_head_of_a_stream_of_events_ends(client: AsyncClient) -> None:
    async with asyncio.timeout(20):
        head = await client.head("/api/v1/events")
    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
        ("PUT", "/api/v1/status", "GET, HEAD"),
        ("OPTIONS", "/", "GET, HEAD"),
        ("GET", "/api/v1/control/pause", "POST"),
        ("HEAD", "/api/v1/control/pause", "POST"),
    ],
)
async def test_another_method_is_refused_with_those_there_are(
    client: AsyncClient, method: str, path: str, allow: str
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.headers.get("allow")) == (405, allow)


async def test_content_types_are_those_that_browsers_insist_on(client: AsyncClient) -> None:
    types = {
        "/": "text/html; charset=utf-8",
        "/js/main.js": "text/javascript; charset=utf-8",
        "/icon.svg": "image/svg+xml",
        "/manifest.webmanifest": "application/manifest+json",
    }
    assert {path: (await client.get(path)).headers["content-type"] for path in types} == types


def test_nothing_is_inline_and_nothing_is_elsewhere() -> None:
    for path in _files():
        if path.parent.name == "vendor" or path.suffix not in (".html", ".js", ".css"):
            continue
        text = path.read_text()
        assert not re.search(r"""\sstyle=["$]|<style|\son[a-z]+="|javascript:""", text), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path
        assert not re.search(r"https?://", text), path


def test_the_manifest_names_icons_that_are_there() -> None:
    manifest = json.loads((STATIC / "manifest.webmanifest").read_text())
    assert all((STATIC / icon["src"].lstrip("/")).is_file() for icon in manifest["icons"])
    assert {icon["purpose"] for icon in manifest["icons"]} == {"any", "maskable"}


def test_all_modules_are_packaged() -> None:
    assert max(len(path.relative_to(STATIC).parts) for path in _files()) <= 2  # package_data in setup.cfg


async def test_plain_page_before_the_daemon_is_reached(client: AsyncClient) -> None:
    page = await client.get("/plain")
    assert page.status_code == 200
    assert "has not been reached yet" in page.text


async def test_plain_page_shows_the_status_escaped(site: Site, client: AsyncClient) -> None:
    snapshot = sample.snapshot(time.time(), payout="<b>&bc1q</b>", height=812_345)
    site.feed._take(b'{"ok":true,"status":' + encode(snapshot) + b"}\n")
    page = (await client.get("/plain")).text
    assert "at height 812346" in page
    assert "&lt;b&gt;&amp;bc1q&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "SIMULATION" in page
    site.feed._lost()
    assert "has not answered since" in (await client.get("/plain")).text


async def test_qr_code(client: AsyncClient) -> None:
    response = await client.get("/api/v1/qr", params={"text": "stratum+tcp://192.168.1.20:3333"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/svg+xml"
    assert response.text.startswith("<svg")
    assert "style=" not in response.text
    other = await client.get("/api/v1/qr", params={"text": "stratum+tcp://192.168.1.21:3333"})
    assert other.text != response.text


@pytest.mark.parametrize("text", ["", "x" * (MAX_TEXT + 1), None])
async def test_qr_code_of_no_or_too_much_text_is_refused(client: AsyncClient, text: str | None) -> None:
    response = await client.get("/api/v1/qr", params={} if text is None else {"text": text})
    assert response.status_code == 422


async def test_qr_code_of_any_text_of_the_longest_length(client: AsyncClient) -> None:
    assert (await client.get("/api/v1/qr", params={"text": "\u20bf" * MAX_TEXT})).status_code == 200
    assert (await client.get("/api/v1/qr", params={"text": "<script>&"})).status_code == 200
