"""Sends what is new to the clients of the WebSocket: the ledger is read once for all of them.

Errors and alarms are as the API shows them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from enum import StrEnum
from typing import Any

import orjson
from pydantic import BaseModel

from solominer.web.live import FRESH_SECS, Live
from solominer.web.tail import Entry

MOST_CLIENTS = 500
MOST_WAITING = 5_000


class Topic(StrEnum):
    """What a client can subscribe to."""

    STATUS = "status"
    BLOCKS = "blocks"
    SHARES = "shares"
    ERRORS = "errors"


class Client:
    """One connection: its topics, and the messages that wait for it. `overrun` once more than MOST_WAITING wait."""

    def __init__(self) -> None:
        self.topics: set[Topic] = set()
        self.overrun = False
        self._waiting: deque[str] = deque()
        self._state = ""
        self._news = asyncio.Event()

    def put(self, message: str) -> None:
        """Add a message."""
        self.overrun = self.overrun or len(self._waiting) >= MOST_WAITING
        if not self.overrun:
            self._waiting.append(message)
        self._news.set()

    def put_state(self, message: str) -> None:
        """Add a state; one that still waits is replaced."""
        self._state = message
        self._news.set()

    async def get(self) -> str | None:
        """The next message; None once it is overrun."""
        while not (self._waiting or self._state or self.overrun):
            self._news.clear()
            await self._news.wait()
        if self.overrun:
            return None
        if self._waiting:
            return self._waiting.popleft()
        state, self._state = self._state, ""
        return state


class Hub:
    """Sends the ledger's news to all clients; it reads only while somebody listens."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._polling: asyncio.Task[None] | None = None
        self.clients: set[Client] = set()

    def join(self, client: Client) -> None:
        """Begin to send to a client."""
        self.clients.add(client)
        if self._polling is None:
            self._live.listeners.append(self._spread)
            self._polling = asyncio.create_task(self._poll())

    def leave(self, client: Client) -> None:
        """No longer send to a client."""
        self.clients.discard(client)
        if not self.clients and self._polling is not None:
            self._polling.cancel()
            self._polling = None
            self._live.listeners.remove(self._spread)

    async def _poll(self) -> None:
        while True:
            with suppress(OSError):  # the records may come back
                await self._live.fresh()
            await asyncio.sleep(FRESH_SECS)

    def _spread(self, news: list[Entry]) -> None:
        for entry in news:
            topic = _topic(entry["kind"])
            listeners = [client for client in self.clients if topic in client.topics]
            if topic is not None and listeners and (data := self._data(topic, entry)) is not None:
                message = message_of(topic, data)
                for client in listeners:
                    client.put(message)

    def _data(self, topic: Topic, entry: Entry) -> bytes | None:
        if topic is Topic.SHARES:
            share = self._live.tail.jobs.share(entry)
            return None if share is None else share.model_dump_json().encode()
        return error_of([entry]).model_dump_json().encode() if topic is Topic.ERRORS else orjson.dumps(entry)


def _topic(kind: str) -> Topic | None:
    if kind.startswith("block"):
        return Topic.BLOCKS
    return {"share": Topic.SHARES, "error": Topic.ERRORS}.get(kind)


def message_of(topic: str, data: bytes) -> str:
    """One message to a client; `data` is JSON."""
    return f'{{"topic":"{topic}","data":{data.decode()}}}'


class ErrorAt(BaseModel):
    """An error: how often it occurred, last `at`, and what to do. `severity` is critical, high, medium, low or info."""

    at: float
    first_at: float
    severity: str
    code: str
    message: str
    todo: str
    count: int


def error_of(lines: list[dict[str, Any]]) -> ErrorAt:
    """One error from its `error` lines, newest first; the first one of each hour has its text."""
    told = next((line for line in lines if "message" in line), lines[0])
    return ErrorAt(
        at=lines[0]["at"],
        first_at=lines[-1]["at"],
        severity=str(told.get("severity", "info")),
        code=str(told.get("code", "")),
        message=str(told.get("message", "")),
        todo=str(told.get("done", "")),
        count=len(lines),
    )
