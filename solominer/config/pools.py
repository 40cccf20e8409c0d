"""Settings of the pools of mode `pool`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SecretStr, model_validator

from solominer.chain.encode_address import from_base58check
from solominer.config import forms
from solominer.config.part import AnyPath, Part
from solominer.errors import BadValue

MOST_POOLS = 16
_TLS = {"stratum+tcp": False, "stratum": False, "tcp": False, "stratum+ssl": True, "stratum+tls": True, "ssl": True}
_V2 = "stratum2+tcp"
"""Schemes of URLs, and whether they use TLS."""


class PoolConfig(Part):
    """One pool of mode `pool`, the preferred one first. Its URL alone may be given, with the user in it."""

    url: str = Field(
        description="stratum+tcp://HOST:PORT, stratum+ssl://HOST:PORT (TLS) or stratum2+tcp://HOST:PORT/AUTHORITY_KEY "
        "(Stratum V2), also with the user: stratum+tcp://USER@HOST:PORT"
    )
    user: Annotated[str, Field(max_length=250)] = Field(
        "", description="username at the pool, for most an address, or an account and a worker: ACCOUNT.WORKER"
    )
    password: SecretStr = Field(SecretStr(""), description="prefer password_file; default: x, which most pools ignore")
    password_file: AnyPath | None = Field(None, description="file whose first line is the password")
    tls_ca: AnyPath | None = Field(
        None, description="PEM file with the certificate that signs the pool's, if it is not a public one"
    )

    @model_validator(mode="before")
    @classmethod
    def _user_in_the_url(cls, value: Any) -> Any:
        """A URL alone becomes a group, and the user in a URL the setting `user`."""
        if isinstance(value, str):
            value = {"url": value}
        if not isinstance(value, dict) or not isinstance(value.get("url"), str):
            return value
        try:
            url, user = _parted(value["url"])
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if user and value.get("user", user) != user:
            raise ValueError("url: its user differs from the setting user; keep one of them")
        return {**value, "url": url} | ({"user": user} if user else {})

    @model_validator(mode="after")
    def _complete(self) -> PoolConfig:
        if not self.user:
            raise ValueError("user is not set: write it, or the URL as stratum+tcp://USER@HOST:PORT")
        if not self.user.isprintable() or self.user != self.user.strip():
            raise ValueError("user: must be printable text without blanks around it")
        if self.password.get_secret_value() and self.password_file is not None:
            raise ValueError("set only one of password and password_file")
        if self.tls_ca is not None and not self.tls:
            raise ValueError("tls_ca requires a URL with stratum+ssl://")
        return self

    @property
    def tls(self) -> bool:
        """Whether the connection uses TLS."""
        return _TLS.get(self.url.partition("://")[0], False)

    @property
    def authority_key(self) -> str:
        """The authority key of a Stratum V2 pool, as text; "" for Stratum V1."""
        return self._address[1]

    @property
    def place(self) -> tuple[str, int]:
        """(host, port)."""
        host, port = forms.host_and_port(self._address[0])
        return host, port or 0

    @property
    def _address(self) -> tuple[str, str]:
        """HOST:PORT, and what follows it."""
        address, _, key = self.url.partition("://")[2].partition("/")
        return address, key


def as_pools(value: Any) -> Any:
    """Wrap a single pool, or its URL, in a list."""
    return [value] if isinstance(value, str | dict) else value


def _parted(text: str) -> tuple[str, str]:
    """(URL without the user, the user or "") of a pool's URL. Raises ValueError without quoting it."""
    scheme, divider, rest = text.strip().partition("://")
    is_v2 = scheme.lower() == _V2
    if not divider or not (is_v2 or scheme.lower() in _TLS):
        raise ValueError("must begin with stratum+tcp://, stratum+ssl:// or stratum2+tcp://")
    user, _, address = rest.removesuffix("/").rpartition("@")
    if ":" in user:
        raise ValueError("must not contain a password; set password_file or password")
    address, slash, key = address.partition("/")
    if is_v2 and not key.isalnum():
        raise ValueError("needs the pool's authority key: stratum2+tcp://USER@HOST:PORT/AUTHORITY_KEY")
    if is_v2:
        try:
            from_base58check(key)
        except BadValue as error:
            raise ValueError(f"what follows the port is no authority key: {error.what}") from None
    if slash and not is_v2:
        raise ValueError("must not contain a path; write HOST:PORT")
    host, port = forms.host_and_port(address)
    if port is None:
        raise ValueError("needs a port, as in stratum+tcp://USER@pool.example.org:3333")
    if is_v2:
        return f"{_V2}://{forms.bracketed(host)}:{port}/{key}", user
    name = "stratum+ssl" if _TLS[scheme.lower()] else "stratum+tcp"
    return f"{name}://{forms.bracketed(host)}:{port}", user
