"""Who makes a request, and what endpoints ask of them: `may_read` and `may_control`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response

from solominer.web.access.tokens import Role, Token

LOGIN = "/login"


@dataclass(frozen=True, slots=True)
class Visitor:
    """`address` is the client's, as text. `is_local`: somebody at this machine, who needs no token."""

    address: str
    is_local: bool
    token: Token | None = None

    @property
    def role(self) -> Role | None:
        """READ, CONTROL, or None for somebody who has to log in."""
        if self.token is None:
            return Role.CONTROL if self.is_local else None
        return Role.READ if self.token.role is Role.SHARE else self.token.role

    @property
    def name(self) -> str:
        """For the ledger."""
        return f"web from {self.address}" if self.token is None else f"token {self.token.name} from {self.address}"


class Refused(Exception):
    """A request that is answered with `status`, `error` and `todo`."""

    def __init__(self, status: int, error: str, todo: str, *, retry_secs: float | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.todo = status, error, todo
        self.headers = {"Cache-Control": "no-store"}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"
        if status in (408, 413):
            self.headers["Connection"] = "close"
        if retry_secs is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_secs + 0.5)))

    def response(self, connection: HTTPConnection) -> Response:
        """JSON; for a browser that opens a page without a login, the way to the login."""
        is_page = connection.scope["type"] == "http" and connection.scope["method"] in ("GET", "HEAD")
        if self.status == 401 and is_page and wants_html(connection):
            return RedirectResponse(LOGIN, 303, {"Cache-Control": "no-store"})
        return JSONResponse({"error": self.error, "todo": self.todo}, self.status, self.headers)


def wants_html(connection: HTTPConnection) -> bool:
    """Whether a browser opens this as a page."""
    return "text/html" in connection.headers.get("accept", "")


async def refuse(connection: HTTPConnection, refused: Exception) -> Response:
    """The handler of Refused."""
    assert isinstance(refused, Refused)
    return refused.response(connection)


def visitor_of(connection: HTTPConnection) -> Visitor:
    """Who makes this request, as the guard has determined."""
    visitor: Visitor = connection.state.visitor
    return visitor


TheVisitor = Annotated[Visitor, Depends(visitor_of)]
"""Parameter of an endpoint: who makes the request."""


def may_read(visitor: TheVisitor) -> None:
    """Require a role. Raises Refused."""
    if visitor.role is None:
        raise Refused(
            401,
            "this needs an access token",
            "log in at /login, or send the header `Authorization: Bearer TOKEN`; "
            "`solominer web token add NAME --role read` makes a token",
        )


def may_control(visitor: TheVisitor) -> None:
    """Require the role CONTROL. Raises Refused."""
    may_read(visitor)
    if visitor.role is not Role.CONTROL:
        raise Refused(
            403,
            "this token may only read",
            "log in with a token that was made with `solominer web token add NAME --role control`",
        )
