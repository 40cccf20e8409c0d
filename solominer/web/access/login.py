"""Logging in and out. The cookie is HttpOnly and SameSite=Strict: scripts and other sites have no use of it.

The static files of the page are served to everybody: they are the same in every installation, and a browser asks for
some of them (manifest.json) without its cookies. Everything that tells of this miner needs a role.
"""

from __future__ import annotations

import html
import time
from typing import Literal
from urllib.parse import parse_qs

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from solominer.web.access.access import Access, TheAccess
from solominer.web.access.tokens import Role, Token, session_of
from solominer.web.access.visitor import LOGIN, Refused, TheVisitor, Visitor, wants_html

router = APIRouter(tags=["access"])

SESSION_SECS = 30 * 86_400
"""A login lasts for a month, or until its token expires or is revoked."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in · solominer</title>
<link rel="stylesheet" href="/login.css"><link rel="icon" href="/icon.svg">
</head>
<body>
<main>
<h1>solominer</h1>
{problem}
<form method="post" action="/login">
<label for="token">Access token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
<p>Make a token on the machine that mines: <code>solominer web token add NAME --role read</code>
(<code>control</code> may also pause and resume).</p>
<p>Logged in already? <a href="/">Open the page</a>.</p>
</main>
</body>
</html>
"""


class Credentials(BaseModel):
    """What a program logs in with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=200)


class Session(BaseModel):
    """What the visitor may do. `local`: at this machine, where no token is needed."""

    role: Literal["read", "control"] | None
    local: bool
    login_required: bool

    @classmethod
    def of(cls, visitor: Visitor) -> Session:
        """The session of a visitor."""
        role = visitor.role
        return cls(
            role=None if role is None else "control" if role is Role.CONTROL else "read",
            local=visitor.is_local,
            login_required=role is None,
        )


@router.get("/api/v1/session")
async def session(visitor: TheVisitor) -> Session:
    """What this client may do; `login_required` if it has to log in first."""
    return Session.of(visitor)


@router.post("/api/v1/login")
async def login(credentials: Credentials, request: Request, access: TheAccess, visitor: TheVisitor) -> Response:
    """Trade a token for a cookie. Afterwards the cookie logs in, until the token expires or is revoked."""
    token = _checked(credentials.token, request, access)
    told = Session.of(Visitor(visitor.address, is_local=False, token=token))
    response = JSONResponse(told.model_dump())
    _set_cookie(response, request, access, credentials.token, token)
    return response


@router.post("/api/v1/logout")
async def logout(request: Request, access: TheAccess) -> Response:
    """Remove the cookie from this browser. Revoke the token to end all of its logins."""
    response: Response = RedirectResponse(LOGIN, 303) if wants_html(request) else Response(status_code=204)
    response.delete_cookie(access.cookie, httponly=True, samesite="strict", secure=_is_https(request))
    return response


@router.get(LOGIN, include_in_schema=False)
async def login_page() -> Response:
    """The page with the form."""
    return _page()


@router.post(LOGIN, include_in_schema=False)
async def login_form(request: Request, access: TheAccess) -> Response:
    """The form, sent."""
    fields = parse_qs((await request.body()).decode(errors="replace"))
    return _let_in(fields.get("token", [""])[0].strip(), request, access)


@router.get("/share/{secret}", include_in_schema=False)
async def share(secret: str, request: Request, access: TheAccess, visitor: TheVisitor) -> Response:
    """A link for somebody to look at the page. Only tokens of the role `share` may be in a link."""
    if visitor.role is not None:
        return RedirectResponse("/", 303)
    return _let_in(secret, request, access, only=Role.SHARE)


def _let_in(secret: str, request: Request, access: Access, only: Role | None = None) -> Response:
    """Trade a token for a cookie and the page; what is wrong is told above the form."""
    try:
        token = _checked(secret, request, access)
        if only is not None and token.role is not only:
            raise Refused(403, "this token may not be in a link", "log in with it below")
    except Refused as refused:
        return _page(refused)
    response = RedirectResponse("/", 303)
    _set_cookie(response, request, access, secret, token)
    return response


def _checked(secret: str, request: Request, access: Access) -> Token:
    peer = request.client.host if request.client else None
    access.check_lockout(peer)
    token = access.known(secret, peer)
    access.succeeded(peer)
    return token


def _page(refused: Refused | None = None) -> Response:
    if refused is None:
        return HTMLResponse(_PAGE.format(problem=""), headers={"Cache-Control": "no-store"})
    problem = f'<p role="alert">{html.escape(refused.error)}: {html.escape(refused.todo)}.</p>'
    headers = {name: value for name, value in refused.headers.items() if name != "WWW-Authenticate"}
    return HTMLResponse(_PAGE.format(problem=problem), refused.status, headers)


def _set_cookie(response: Response, request: Request, access: Access, secret: str, token: Token) -> None:
    left_secs = SESSION_SECS if token.expires_at is None else token.expires_at - time.time()
    response.set_cookie(
        access.cookie,
        session_of(secret) or "",
        max_age=max(1, round(min(left_secs, SESSION_SECS))),
        httponly=True,
        samesite="strict",
        secure=_is_https(request),
    )
    response.headers["Cache-Control"] = "no-store"


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https"
