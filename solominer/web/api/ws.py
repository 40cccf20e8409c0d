"""The WebSocket for programs: the state, and what is new in the ledger, by topic.

A client sends `{"subscribe": ["status", "blocks", "shares", "errors"]}` and gets `{"topic": ..., "data": ...}`:

- `status`: each new state, as /api/v1/status; `lost` with `lost_at` when the daemon is gone.
- `blocks`: each ledger entry about a block (`block_found`, `block_answer`, `block_state`, ...).
- `shares`: each share, as in /api/v1/shares.
- `errors`: each error or alarm, as in /api/v1/errors.

A new `subscribe` replaces the topics. What cannot be understood is answered with `{"error": ..., "todo": ...}`. The
server pings every 20 seconds. A client that reads too slowly is dropped with code 1013.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import orjson
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field
from starlette.websockets import WebSocketState

from solominer.web.feed import DaemonFeed
from solominer.web.hub import MOST_CLIENTS, Client, Topic, message_of
from solominer.web.site import TheSite

router = APIRouter()

MOST_COMMAND_CHARS = 1_000
TRY_AGAIN_LATER = 1013

TODO = 'send {"subscribe": [...]} with any of status, blocks, shares, errors'


class Command(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid")

    subscribe: set[Topic] = Field(max_length=4)


@router.websocket("/api/v1/ws")
async def ws(socket: WebSocket, site: TheSite) -> None:
    """See the module."""
    await socket.accept()
    hub = site.hub
    if len(hub.clients) >= MOST_CLIENTS:
        await socket.close(TRY_AGAIN_LATER, "too many connections")
        return
    client = Client()
    hub.join(client)
    works = (_listen(socket, site.feed, client), _status(site.feed, client), _send(socket, client))
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.leave(client)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if client.overrun and socket.application_state is WebSocketState.CONNECTED:
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(TRY_AGAIN_LATER, "reads too slowly")


async def _listen(socket: WebSocket, feed: DaemonFeed, client: Client) -> None:
    """Take commands until the client is gone."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text") or ""
        try:
            if len(text) > MOST_COMMAND_CHARS:
                raise ValueError("too long")
            client.topics = Command.model_validate_json(text).subscribe
        except ValueError:
            client.put(orjson.dumps({"error": "the message is not a command", "todo": TODO}).decode())
        else:
            _put_state(feed, client)


async def _status(feed: DaemonFeed, client: Client) -> None:
    async for _ in feed.changes():
        _put_state(feed, client)


def _put_state(feed: DaemonFeed, client: Client) -> None:
    if Topic.STATUS in client.topics:
        lost = orjson.dumps({"lost_at": feed.lost_at})
        client.put_state(message_of("status", feed.line) if feed.running else message_of("lost", lost))


async def _send(socket: WebSocket, client: Client) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while (message := await client.get()) is not None:
            await socket.send_text(message)
