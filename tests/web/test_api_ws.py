"""The WebSocket: topics, what is new in the ledger, clients that talk nonsense or read too slowly."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from solominer.web import hub
from solominer.web.api import ws as module
from tests.web.records import RecentHours
from tests.web.serving import Served


@contextmanager
def subscribed(served: Served, *topics: str) -> Iterator[ClientConnection]:
    """A connection that is known to have its topics: the server answers in order."""
    with connect(served.ws_url, proxy=None) as socket:
        socket.send(json.dumps({"subscribe": topics}))
        socket.send("?")
        assert "not a command" in received(socket, "error")
        yield socket


def received(socket: ClientConnection, key: str = "data") -> Any:
    """The value of the next message that has this key."""
    while True:
        message = json.loads(socket.recv(30))
        if key in message:
            return message[key]


def test_what_is_new_comes_by_topic(recent: RecentHours, served: Served) -> None:
    with subscribed(served, "shares", "blocks", "errors") as every, subscribed(served, "errors") as errors:
        block = recent.hour(recent.now_hour + 310, shares=3)
        messages = [json.loads(every.recv(30)) for _ in range(3 + 3 + 2)]
        by_topic = {topic: [m["data"] for m in messages if m["topic"] == topic] for topic in ("shares", "blocks")}
        newest = served.get("shares", since=recent.now_hour + 309)["shares"]
        assert by_topic["shares"] == newest[::-1]
        assert [entry["kind"] for entry in by_topic["blocks"]] == ["block_found", "block_answer", "block_state"]
        assert {entry["hash"] for entry in by_topic["blocks"]} == {block.hash_hex}
        for _ in range(2):
            message = json.loads(errors.recv(30))
            assert message["topic"] == "errors"
            assert message["data"]["code"] == "node-slow"


def test_the_newest_subscription_counts(recent: RecentHours, served: Served) -> None:
    with subscribed(served, "shares", "blocks") as socket:
        socket.send('{"subscribe": ["errors"]}')
        socket.send("?")
        received(socket, "error")
        recent.hour(recent.now_hour + 310, shares=3)
        assert json.loads(socket.recv(30))["topic"] == "errors"


def test_the_state_is_told_at_once_and_that_the_daemon_is_gone(served: Served) -> None:
    with connect(served.ws_url, proxy=None) as socket:
        socket.send('{"subscribe": ["status"]}')
        message = json.loads(socket.recv(30))
        assert message["topic"] == "lost"
        assert message["data"]["lost_at"] == served.site.feed.lost_at
        line = b'{"height":7}'
        loop = served.loop
        assert loop is not None
        loop.call_soon_threadsafe(served.site.feed._take, b'{"ok":true,"status":' + line + b"}\n")
        message = json.loads(socket.recv(30))
        assert message == {"topic": "status", "data": {"height": 7}}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"subscribe": "status"}', '{"subscribe": ["secrets"]}', '{"subscribe": [], "x": 1}', "x" * 5000],
)
def test_nonsense_is_answered(served: Served, text: str) -> None:
    with connect(served.ws_url, proxy=None) as socket:
        socket.send(text)
        answer = json.loads(socket.recv(30))
        assert set(answer) == {"error", "todo"}
        socket.send(b"\xff\x00")
        assert set(json.loads(socket.recv(30))) == {"error", "todo"}


def test_too_many_connections_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 1)
    with subscribed(served, "shares"), connect(served.ws_url, proxy=None) as second:
        with pytest.raises(ConnectionClosed):
            second.recv(30)
        assert second.close_code == 1013


def test_a_slow_client_is_dropped_and_the_others_are_not(
    recent: RecentHours, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_WAITING", 2)
    monkeypatch.setattr(hub, "FRESH_SECS", 3600.0)
    with subscribed(served, "shares") as slow, subscribed(served, "errors") as other:
        served.get("shares")
        recent.hour(recent.now_hour + 310, shares=9)
        served.get("shares")  # reads all of it at once, so more wait than are allowed
        with pytest.raises(ConnectionClosed):
            list(slow)
        assert slow.close_code == 1013
        assert received(other)["code"] == "node-slow"


def test_nothing_is_read_for_nobody(served: Served) -> None:
    with subscribed(served, "shares"):
        assert served.site.hub._polling is not None
    end = time.monotonic() + 30
    while served.site.hub._polling is not None:
        assert time.monotonic() < end
    assert served.site.live.listeners == []


async def test_a_state_that_waits_is_replaced() -> None:
    client = hub.Client()
    client.put_state("old")
    client.put_state("new")
    client.put("first")
    assert [await client.get(), await client.get()] == ["first", "new"]
