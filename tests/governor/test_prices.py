"""The electricity price: an HTTP endpoint on loopback, failures and backoff, staleness, and no secret in any word."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from solominer.errors import PriceError
from solominer.governor import prices
from solominer.governor.prices import PriceSource, http_get, value_at

SECRET = "key=hunter2"


class Endpoint:
    """An HTTP server that gives one answer, and what it was asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on standard error."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/now?{SECRET}"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield endpoint
    endpoint.server.shutdown()
    thread.join()
    endpoint.server.server_close()


def source(url: str = "http://x", fetch: prices.Fetch = http_get) -> PriceSource:
    return PriceSource(url, "price", scale=0.001, refresh_secs=900, stale_secs=3600, fetch=fetch)


@pytest.mark.parametrize(
    ("document", "path", "value"),
    [
        ({"a": [{"b": 3}]}, "a.0.b", 3.0),
        ([1, 2, 3], "-1", 3.0),
        ({"price": "0.31"}, "price", 0.31),
        (5, "", 5.0),
    ],
)
def test_paths(document: object, path: str, value: float) -> None:
    assert value_at(document, path) == value


@pytest.mark.parametrize(
    ("document", "path", "said"),
    [
        ({"a": 1}, "b", "no 'b' of b"),
        ({"a": [1]}, "a.1", "no '1' of a.1"),
        ({"a": [1]}, "a.x", "no 'x'"),
        ({"a": 1}, "a.b", "no 'b'"),
        ({"a": "dear"}, "a", "not a number"),
        ({"a": True}, "a", "not a number"),
        ({"a": "nan"}, "a", "not a number"),
        ({"a": None}, "a", "not a number"),
        ({"a": int("9" * 400)}, "a", "not a number"),
        ({"a": "9" * 400}, "a", "not a number"),
        ({"a": 1e300}, "a", "not a number"),
        ({"a": [1]}, "a", "not a number"),
    ],
)
def test_what_is_no_price(document: object, path: str, said: str) -> None:
    with pytest.raises(PriceError, match=said):
        value_at(document, path)


def test_a_price_grows_stale() -> None:
    prices_ = source(fetch=lambda url: b'{"price": 312.5}')
    assert prices_.current(0) is None
    fresh = prices_.fetch()
    assert fresh.per_kwh == 0.3125
    now = prices_.current(fresh.at + 3599)
    assert now is not None
    assert not now.stale
    later = prices_.current(fresh.at + 3601)
    assert later is not None
    assert later.stale
    assert later.per_kwh == 0.3125


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b"no", "127.0.0.1: 404"),
        (200, b"[" + b" " * (1 << 20), "larger than 1 MiB"),
        (200, b"<html>", "not JSON"),
    ],
)
def test_an_endpoint_that_does_not_deliver(endpoint: Endpoint, status: int, body: bytes, said: str) -> None:
    endpoint.status, endpoint.body = status, body
    with pytest.raises(PriceError, match=said) as caught:
        source(endpoint.url).fetch()
    assert SECRET not in str(caught.value)


def test_nobody_there() -> None:
    with pytest.raises(PriceError, match=r"no price from 127\.0\.0\.1") as caught:
        source(f"http://127.0.0.1:1/?{SECRET}").fetch()
    assert SECRET not in str(caught.value)


def test_an_endpoint_that_delivers(endpoint: Endpoint) -> None:
    endpoint.body = b'{"price": 100}'
    assert source(endpoint.url).fetch().per_kwh == 0.1
    assert endpoint.paths == [f"/now?{SECRET}"]


async def test_failures_are_retried_with_backoff_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []
    answers = iter([b"x", b"x", b"x", b"x", b"x", b"x", b"x", b"x", b'{"price": 1}', b'{"price": 2}'])
    done = asyncio.Event()

    async def sleep(secs: float) -> None:
        waits.append(secs)
        if len(waits) == 10:
            done.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("solominer.governor.prices.asyncio.sleep", sleep)
    with caplog.at_level(logging.INFO, "solominer.governor.prices"):
        task = asyncio.create_task(source(fetch=lambda url: next(answers)).keep_fresh())
        await done.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert waits == [10, 20, 40, 80, 160, 320, 640, 900, 900, 900]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
