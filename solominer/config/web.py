"""Settings of the web server: the page, the API and the metrics."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from pydantic import Field, field_validator, model_validator

from solominer.config import forms
from solominer.config.part import AnyPath, Part

DEFAULT_PORT = 3380
LOOPBACK = "127.0.0.1"


class WebConfig(Part):
    """The web server is a process of its own; `solominer web` runs it alone, beside a daemon that is running."""

    enabled: bool = Field(False, description="start the web server together with the daemon")
    listen: str = Field(
        f"{LOOPBACK}:{DEFAULT_PORT}",
        description="ADDRESS:PORT or PORT. From other than this machine it is only used with a token "
        "(`solominer web token add`)",
    )
    hosts: tuple[str, ...] = Field(
        (), description="host names under which the page is opened, beside localhost and IP addresses"
    )
    tls_certificate: AnyPath | None = Field(None, description="PEM file with a certificate chain; enables HTTPS")
    tls_key: AnyPath | None = Field(None, description="PEM file with its private key, if separate")
    proxies: tuple[str, ...] = Field(
        (),
        description="addresses or networks of reverse proxies, whose X-Forwarded-For and -Proto headers are believed",
    )
    status_files_dir: AnyPath | None = Field(
        None, description="folder for pool/pool.status and users/ADDRESS as ckpool writes them, for ckstats"
    )

    @field_validator("listen", mode="before")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        text = forms.port_as_text(value)
        if not isinstance(text, str):
            return text
        if text.strip().isdigit():
            text = f"{LOOPBACK}:{text}"
        host, port, path = forms.listen_address(text, DEFAULT_PORT)
        if path:
            raise ValueError("write ADDRESS:PORT, such as 127.0.0.1:3380")
        return f"{forms.bracketed(host)}:{port}"

    @field_validator("hosts")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(each.strip().lower().rstrip(".") for each in value)
        if any(not each or set(each) & set("/:@ *") for each in names):
            raise ValueError("write host names alone, such as miner.lan")
        return names

    @field_validator("proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ip_network(each.strip(), strict=False)) for each in value)
        except ValueError:
            raise ValueError("write IP addresses or networks, such as 10.0.0.5 or 10.0.0.0/24") from None

    @model_validator(mode="after")
    def _key_belongs_to_a_certificate(self) -> WebConfig:
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key needs tls_certificate")
        return self

    @property
    def place(self) -> tuple[str, int]:
        """(host, port)."""
        host, port, _ = forms.listen_address(self.listen, DEFAULT_PORT)
        return host, port

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return forms.is_loopback(self.place[0])
