"""Settings of a cluster: the daemon's side. A node has a join file instead."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from solominer.config import forms
from solominer.config.part import AnyPath, Part

DEFAULT_PORT = 4222
EMBEDDED = "embedded"
_SCHEMES = ("nats://", "tls://")


def server_url(text: str) -> str:
    """nats://HOST:PORT of a server given as that, as HOST:PORT or as HOST. Raises ValueError."""
    place = text.strip()
    for scheme in _SCHEMES:
        place = place.removeprefix(scheme)
    if "@" in place or "://" in place:
        raise ValueError("write nats://HOST:PORT, without a login: a cluster uses certificates")
    host, port = forms.host_and_port(place.rstrip("/"))
    return f"nats://{f'[{host}]' if ':' in host else host}:{port or DEFAULT_PORT}"


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class ClusterConfig(Part):
    """Many machines: jobs go to nodes (`solominer node`) through a NATS server, their shares come back through it."""

    servers: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = Field(
        (), description='NATS servers, e.g. nats://head:4222; "embedded": one that the daemon starts'
    )
    dir: AnyPath | None = Field(
        None, description="folder of `solominer cluster init`; default: cluster in the data folder"
    )
    server: AnyPath | None = Field(None, description="nats-server of an embedded server; default: on the PATH")
    standby: bool = Field(
        False, description="one of several daemons: wait while another is the head, and take over when it is silent"
    )

    @field_validator("servers")
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(each.strip().lower() == EMBEDDED for each in value):
            if len(value) > 1:
                raise ValueError("embedded is one server: leave the others out, or run servers of your own")
            return (EMBEDDED,)
        return tuple(map(server_url, value))

    @model_validator(mode="after")
    def _with_servers_of_their_own(self) -> ClusterConfig:
        if self.standby and (not self.servers or self.is_embedded):
            raise ValueError("standby is for servers on machines of their own: list them in cluster.servers")
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether the daemon starts the server."""
        return self.servers == (EMBEDDED,)
