"""Settings of alerts: where they are sent, and which."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, FieldSerializationInfo, SecretStr, field_serializer, field_validator, model_validator

from solominer.config.part import AnyPath, Part, SecretUrl
from solominer.config.quantities import SECS, Port, Share

AlertKind = Literal[
    "block", "node", "mining", "rate", "device", "best_share", "retarget", "records", "payout", "other", "digest"
]
KINDS: tuple[AlertKind, ...] = get_args(AlertKind)

REVEAL = {"secrets": True}
"""Context of a dump for the web server's process, which needs the secrets."""


def _shown(value: SecretStr | None, info: FieldSerializationInfo) -> str | None:
    if value is None:
        return None
    return value.get_secret_value() if info.context == REVEAL else str(value)


class SmtpConfig(Part):
    """A mail server. Without encryption no password is sent."""

    host: str = Field("", description="mail server; empty: no mail is sent")
    port: Port = Field(587, description="465 for tls, 587 for starttls, 25 for none")
    encryption: Literal["tls", "starttls", "none"] = Field("starttls", description="of the connection")
    username: str = Field("", description="login, if the server requires one")
    password: SecretStr | None = Field(None, description="its password; prefer password_file")
    password_file: AnyPath | None = Field(None, description="file whose first line is the password")
    sender: str = Field("", description="address in From; default: the first recipient")
    to: tuple[str, ...] = Field((), max_length=20, description="recipients")

    _secret = field_serializer("password", when_used="json")(_shown)

    @field_validator("to")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("@" not in each or any(char in each for char in "\r\n,<> ") for each in value):
            raise ValueError("write mail addresses, such as me@example.org")
        return value

    @model_validator(mode="after")
    def _complete(self) -> SmtpConfig:
        if self.host and not self.to:
            raise ValueError("smtp.host requires smtp.to")
        has_password = self.password is not None or self.password_file is not None
        if has_password and self.encryption == "none":
            raise ValueError("a password requires encryption tls or starttls")
        if self.password is not None and self.password_file is not None:
            raise ValueError("set only one of password and password_file")
        return self


class AlertsConfig(Part):
    """Alerts, sent by the web server (web.enabled, or `solominer web`). None is sent unless a destination is set."""

    ntfy: SecretUrl | None = Field(None, description="URL of an ntfy topic, e.g. https://ntfy.sh/TOPIC")
    ntfy_token: SecretStr | None = Field(None, description="access token of a protected ntfy topic")
    webhook: SecretUrl | None = Field(None, description="URL that receives each alert as a JSON POST request")
    smtp: SmtpConfig = SmtpConfig()
    apprise: tuple[SecretStr, ...] = Field(
        (), max_length=20, description="Apprise URLs, for other services; requires the package apprise"
    )
    events: tuple[AlertKind, ...] = Field(KINDS, description=f"kinds that are sent: {', '.join(KINDS)}")
    rate_low_share: Share = Field(0.5, description="alert below this fraction of the usual hash rate; 0: never")
    offline_secs: Annotated[float, Field(ge=10, le=86400), SECS] = Field(
        300.0, description="how long a worker or miner must be gone before an alert"
    )
    digest: Literal["off", "daily", "weekly", "both"] = Field("off", description="a summary of the day or the week")
    ping_url: SecretUrl | None = Field(
        None, description="URL requested while mining works; its service alerts you when the requests stop"
    )
    ping_secs: Annotated[float, Field(ge=30, le=86400), SECS] = Field(300.0, description="interval of these requests")

    _secrets = field_serializer("ntfy", "ntfy_token", "webhook", "ping_url", when_used="json")(_shown)

    @field_serializer("apprise", when_used="json")
    def _each(self, value: tuple[SecretStr, ...], info: FieldSerializationInfo) -> list[str | None]:
        return [_shown(each, info) for each in value]
