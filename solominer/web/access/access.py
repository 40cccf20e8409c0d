"""Decides about each request before anything else sees it: whether it is let in, and whose it is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from solominer.errors import printable
from solominer.web.access.addresses import (
    address_of,
    host_of,
    is_known,
    is_loopback,
    is_same_origin,
    network_key,
    was_forwarded,
)
from solominer.web.access.limits import Lockout, RateLimit
from solominer.web.access.tokens import Token, TokenRegistry, session_of
from solominer.web.access.visitor import Refused, Visitor
from solominer.web.setup import WebSetup

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ADDRESS_PER_SEC, ADDRESS_BURST = 20.0, 200.0
TOKEN_PER_SEC, TOKEN_BURST = 40.0, 400.0
MAX_OPEN = 100
"""Requests of one address that are answered at a time, event streams and WebSockets included."""

MAKE_TOKEN = "make one with `solominer web token add NAME --role read` (or `control`)"

log = logging.getLogger(__name__)


class Access:
    """The rules for the web server of this setup."""

    def __init__(self, setup: WebSetup) -> None:
        web = setup.web
        self._listen, self._listens_locally = web.listen, web.is_local
        self._hosts = frozenset({*web.hosts, web.place[0].lower()})
        self._proxies = tuple(map(ip_network, web.proxies))
        self.cookie = f"solominer_{web.place[1]}"
        self.registry = TokenRegistry(setup.folder)
        self.lockout = Lockout()
        self.by_address = RateLimit(ADDRESS_PER_SEC, ADDRESS_BURST)
        self.by_token = RateLimit(TOKEN_PER_SEC, TOKEN_BURST)
        self._open: Counter[str] = Counter()

    def announce(self) -> None:
        """Log what a person must do before anybody can look in from elsewhere."""
        if not (self._listens_locally and not self._proxies) and not self.registry.tokens:
            log.warning("there is no token, so nobody can use %s from another machine: %s", self._listen, MAKE_TOKEN)

    def admit(self, connection: HTTPConnection) -> Visitor:
        """The visitor behind a request. Raises Refused."""
        self._check_host(connection)
        self._check_origin(connection)
        peer = connection.client.host if connection.client else None
        address = printable(peer or "unknown", 45)
        bearer = _bearer(connection)
        if bearer is None and self._is_local(connection, peer):
            return Visitor(address, is_local=True)
        _limit(self.by_address, network_key(peer), "this address")
        token = self._logged_in(connection) if bearer is None else self.known(bearer, peer)
        if token is not None:
            _limit(self.by_token, token.hash, "this token")
            self.registry.used(token)
        return Visitor(address, is_local=False, token=token)

    def _logged_in(self, connection: HTTPConnection) -> Token | None:
        """The token of the cookie; None for an old cookie, which is nobody's fault."""
        token = self.registry.of_session(connection.cookies.get(self.cookie, ""))
        return token if token is not None and self.registry.is_valid(token) else None

    def known(self, secret: str, peer: str | None) -> Token:
        """The token with this secret. Raises Refused; one that nobody knows is counted as a failed login."""
        key, session = network_key(peer), session_of(secret)
        token = None if session is None else self.registry.of_session(session)
        if token is None:
            self.check_lockout(peer)
            self.lockout.failed(key)
            log.warning("an unknown token was refused, from %s", printable(peer or "unknown", 45))
            raise Refused(401, "this token is not known", f"it may have been revoked: {MAKE_TOKEN}")
        if not self.registry.is_valid(token):
            raise Refused(401, f"the token {token.name} has expired", MAKE_TOKEN)
        return token

    def succeeded(self, peer: str | None) -> None:
        """Forget the failed logins of this address."""
        self.lockout.succeeded(network_key(peer))

    def check_lockout(self, peer: str | None) -> None:
        """Raises Refused while this address is locked out."""
        wait_secs = self.lockout.wait_secs(network_key(peer))
        if wait_secs:
            raise Refused(
                429,
                "too many unknown tokens came from this address",
                f"wait {wait_secs:.0f} s, then try again",
                retry_secs=wait_secs,
            )

    @contextmanager
    def place(self, visitor: Visitor) -> Iterator[None]:
        """Hold one of the address's places while its request is answered. Raises Refused if all are taken."""
        key = network_key(visitor.address)
        if self._open[key] >= MAX_OPEN and not visitor.is_local:
            raise Refused(429, f"this address has {MAX_OPEN} open requests", "close some pages", retry_secs=5)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def _check_host(self, connection: HTTPConnection) -> None:
        """Pages of other sites may point their own name at this address; they cannot have ours."""
        sent = connection.headers.getlist("host")
        host = host_of(sent[0]) if len(sent) == 1 else None
        if host is None:
            raise Refused(
                400, "the request has no valid Host header", "send one with the name or address of this server"
            )
        if not is_known(host, self._hosts):
            raise Refused(421, f"the page is not served under the name {host}", f'add "{host}" to web.hosts')

    def _check_origin(self, connection: HTTPConnection) -> None:
        """Other sites may not act with a visitor's cookie or address; browsers say where such a request comes from."""
        if connection.scope["type"] == "http" and connection.scope["method"] in SAFE_METHODS:
            return
        origin, host = connection.headers.get("origin"), connection.headers["host"]
        from_elsewhere = connection.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if from_elsewhere if origin is None else not is_same_origin(origin, host):
            raise Refused(
                403,
                "this request comes from a page of another site",
                "open solominer's own page; a reverse proxy must pass on the Host header as it came",
            )

    def _is_local(self, connection: HTTPConnection, peer: str | None) -> bool:
        """Whether the request comes from this machine, and not through a proxy on it."""
        address = address_of(peer)
        return (
            self._listens_locally
            and address is not None
            and address.is_loopback
            and is_loopback(host_of(connection.headers["host"]))
            and not was_forwarded(connection)
            and not any(address in network for network in self._proxies)
        )


def _bearer(connection: HTTPConnection) -> str | None:
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _limit(limit: RateLimit, key: str, whose: str) -> None:
    wait_secs = limit.take(key)
    if wait_secs:
        raise Refused(429, f"{whose} sends too many requests", "send fewer", retry_secs=wait_secs)


def _access(connection: HTTPConnection) -> Access:
    access: Access = connection.app.state.access
    return access


TheAccess = Annotated[Access, Depends(_access)]
"""Parameter of an endpoint: the rules of access."""
