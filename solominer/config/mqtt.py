"""Settings of MQTT, for Home Assistant."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from solominer.config import forms
from solominer.config.part import AnyPath, Part
from solominer.config.quantities import Port

_WILDCARDS = set("+#")


class MqttConfig(Part):
    """An MQTT broker that the web server tells the state, for Home Assistant. Requires the extra mqtt."""

    host: str = Field("", description="address or name of the broker; empty: nothing is sent")
    port: Port = Field(1883, description="1883 without TLS, mostly 8883 with it")
    username: str = Field("", description="login, if the broker requires one")
    password_file: AnyPath | None = Field(None, description="file whose first line is the password")
    tls: bool = Field(False, description="use TLS, with the certificate authorities of the system")
    name: str = Field(
        "solominer", min_length=1, max_length=60, description="name of the device; differs for each solominer"
    )
    discovery_prefix: str = Field("homeassistant", max_length=200, description="as in Home Assistant's MQTT settings")

    @field_validator("host")
    @classmethod
    def _host_alone(cls, value: str) -> str:
        if not value.strip():
            return ""
        if "://" in value or "@" in value:
            raise ValueError("write the host alone; username, tls and port are settings of their own")
        host, port = forms.host_and_port(value)
        if port is not None:
            raise ValueError("write the host alone, and set port")
        return host

    @field_validator("discovery_prefix")
    @classmethod
    def _topic(cls, value: str) -> str:
        is_topic = value and value.isprintable() and not set(value) & _WILDCARDS
        if not is_topic or value.startswith("/") or value.endswith("/"):
            raise ValueError("write a topic without wildcards, such as homeassistant")
        return value

    @model_validator(mode="after")
    def _password_has_a_user(self) -> MqttConfig:
        if self.password_file is not None and not self.username:
            raise ValueError("password_file requires username")
        return self
