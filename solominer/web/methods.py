"""HTTP methods: HEAD is answered as GET is, without the body; a method that a path does not have by 405 with Allow."""

from __future__ import annotations

from contextlib import suppress

from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE = "page"
"""Name of the mount of the page's files, which takes every path that no endpoint has."""

FILE_METHODS = ["GET", "HEAD"]
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


class HeadAsGet:
    """ASGI middleware that answers HEAD by the beginning of what GET would answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def only_headers(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body", "body": b""})
                raise _Answered  # a stream of events would go on

        with suppress(_Answered):
            await self._app({**scope, "method": "GET"}, receive, only_headers)


class _Answered(Exception):
    """All that HEAD asks for is sent."""


def allowed_methods(request: Request) -> list[str]:
    """The methods of the endpoint at the request's path; none if there is no endpoint."""
    routes = [route for route in request.app.routes if getattr(route, "name", "") != PAGE]
    allowed = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return sorted({*allowed, *(["HEAD"] if "GET" in allowed else [])})
