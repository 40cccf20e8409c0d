"""Settings of the Stratum server's listeners."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from solominer.config import forms
from solominer.config.part import LOWERED, AnyPath, Part

DEFAULT_PORT = 3333

_DIFFICULTY = BeforeValidator(forms.quantity(forms.RATE, "1024, 64k or 0.001"))
Difficulty = Annotated[float, Field(ge=0, le=1e15), _DIFFICULTY]
GroupWindow = Annotated[
    float,
    Field(ge=0.001, le=1000, description="payout group: how much work counts, in network difficulties"),
    BeforeValidator(forms.quantity(forms.PLAIN, "5")),
]


class ListenerConfig(Part):
    """One address on which the Stratum server listens."""

    listen: str = Field(
        f"0.0.0.0:{DEFAULT_PORT}", description="ADDRESS:PORT to listen on, PORT alone, or unix:/path of a socket"
    )
    payout: Annotated[Literal["config", "miner", "group"], LOWERED] = Field(
        "config",
        description="config: blocks pay payout_address and payout_split; miner: each pays the address in its miner's "
        "username (ADDRESS or ADDRESS.WORKER); group: blocks pay all such addresses by proven work",
    )
    start_difficulty: Difficulty = Field(0.0, description="initial share difficulty; 0: chosen by the miner's model")
    least_difficulty: Difficulty = Field(0.0, description="minimum share difficulty; 0: chosen by the miner's model")
    most_difficulty: Difficulty = Field(0.0, description="maximum share difficulty; 0: network difficulty")
    tls_certificate: AnyPath | None = Field(None, description="PEM file with a certificate chain; enables TLS")
    tls_key: AnyPath | None = Field(None, description="PEM file with its private key, if separate")
    v2: Annotated[Literal["auto", "only", "off"], LOWERED] = Field(
        "auto",
        description="Stratum V2: auto: beside V1 on the same port, if its packages are installed "
        "(pip install 'solominer[stratum2]'); only: V2 alone; off: V1 alone. V1 alone with TLS",
    )
    proxies: tuple[str, ...] = Field((), description="IP addresses of proxies that send the PROXY protocol header")

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, value: Any) -> Any:
        return {"listen": value} if isinstance(value, str | int) and not isinstance(value, bool) else value

    @field_validator("listen", mode="before")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        text = forms.port_as_text(value)
        if not isinstance(text, str):
            return text
        host, port, path = forms.listen_address(text, DEFAULT_PORT)
        return f"unix:{path}" if path else f"{forms.bracketed(host)}:{port}"

    @field_validator("proxies")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ip_address(each.strip())) for each in value)
        except ValueError:
            raise ValueError("write IP addresses, such as 10.0.0.5") from None

    @model_validator(mode="after")
    def _bounds(self) -> ListenerConfig:
        if self.most_difficulty and self.most_difficulty < max(self.least_difficulty, self.start_difficulty):
            raise ValueError("most_difficulty is below least_difficulty or start_difficulty")
        if 0 < self.start_difficulty < self.least_difficulty:
            raise ValueError("start_difficulty is below least_difficulty")
        if self.proxies and self.tls_certificate is not None:
            raise ValueError("proxies begin with a PROXY header in plain text: leave TLS to them, or leave proxies out")
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key needs tls_certificate")
        if self.v2 == "only" and self.tls_certificate is not None:
            raise ValueError("Stratum V2 encrypts by itself: leave tls_certificate out, or set v2 to off")
        return self

    @property
    def place(self) -> tuple[str, int, str]:
        """(host, port, path of a Unix socket)."""
        return forms.listen_address(self.listen, DEFAULT_PORT)


class StratumLimits(Part):
    """How many miners may be connected at a time."""

    connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        16_384, description="connections in all; also bounded by the open files that the system allows (ulimit -n)"
    )
    connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        4096, description="connections from one IPv4 address or one IPv6 /64: a whole rack may stand behind a router"
    )


def as_listeners(value: Any) -> Any:
    """Wrap a single listener, or its address, in a list."""
    return [value] if isinstance(value, str | int | dict) and not isinstance(value, bool) else value
