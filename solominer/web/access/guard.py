"""The gate in front of the application: who comes in, how much they may send, and for how long they may stay."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from solominer.web.access.access import Access
from solominer.web.access.tokens import Token
from solominer.web.access.visitor import Refused

MAX_BODY_BYTES = 64 << 10
BODY_SECS = 20.0
RECHECK_SECS = 5.0
"""How often a response that goes on checks that its token is still valid."""

CLOSE_POLICY = 1008


class Guard:
    """ASGI middleware: admits a request, reads its body, and puts the Visitor into its state."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            visitor = self._access.admit(connection)
            with self._access.place(visitor):
                scope.setdefault("state", {})["visitor"] = visitor
                if scope["type"] == "http":
                    receive = _replayed(await _body(connection, receive), receive)
                if visitor.token is None:
                    await self._app(scope, receive, send)
                else:
                    await self._while_valid(visitor.token, scope, receive, send)
        except Refused as refused:
            await refused.response(connection)(scope, receive, send)
        except ClientDisconnect:
            pass

    async def _while_valid(self, token: Token, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the token is revoked or expires: event streams and WebSockets end with it."""
        began = False

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        answering = asyncio.ensure_future(self._app(scope, receive, noted))
        try:
            while not answering.done() and self._access.registry.is_valid(token):
                await asyncio.wait([answering], timeout=RECHECK_SECS)
            if answering.done():
                return await answering
        finally:
            answering.cancel()
        await asyncio.wait([answering])
        if not began:
            raise Refused(401, "the token is no longer valid", "log in again")
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": CLOSE_POLICY, "reason": "the token has ended"})
        return await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _body(connection: HTTPConnection, receive: Receive) -> bytes:
    """The whole body of a request. Raises Refused if it is too large or too slow, ClientDisconnect if it breaks off."""
    too_large = Refused(413, f"a request may have {MAX_BODY_BYTES} bytes", "send less")
    declared = connection.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refused(408, f"the request took longer than {BODY_SECS:.0f} s", "send it again") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that begins with this body."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay
