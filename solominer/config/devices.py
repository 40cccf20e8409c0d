"""Settings of the device monitor: the miners in the house that are asked how they are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from solominer.config import forms
from solominer.config.part import LOWERED, Part
from solominer.config.quantities import CELSIUS, SECS, WHOLE

HTTP_PORT = 80


class DeviceConfig(Part):
    """A miner that the web server asks how it is. It is only read, never changed."""

    host: str = Field(description="address or name of the miner; HOST:PORT and http://HOST:PORT are accepted")
    name: str = Field("", max_length=60, description="name on the page, in alerts and metrics; default: the host")
    kind: Annotated[Literal["auto", "axeos", "pyasic"], LOWERED] = Field(
        "auto",
        description="axeos: Bitaxe, NerdQAxe and others with AxeOS; pyasic: Antminer, Whatsminer, Avalon and others, "
        "requires the extra asic; auto: what answers",
    )
    hot_c: Annotated[float, Field(gt=0, le=200), CELSIUS] | None = Field(
        None, description="chip temperature from which it is hot, °C; default: 70 with AxeOS, else 90"
    )

    @model_validator(mode="before")
    @classmethod
    def _host_alone(cls, value: Any) -> Any:
        return {"host": value} if isinstance(value, str) else value

    @field_validator("host")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value.strip().lower().startswith("https://"):
            raise ValueError("miners answer over http; write HOST, HOST:PORT or http://HOST:PORT")
        if "@" in value:
            raise ValueError("must not contain a login; write HOST, HOST:PORT or http://HOST:PORT")
        host, port = forms.host_and_port(value)
        if port in (None, HTTP_PORT):
            return host
        return f"{forms.bracketed(host)}:{port}"

    @property
    def place(self) -> tuple[str, int]:
        """(host, port)."""
        host, port = forms.host_and_port(self.host)
        return host, port or HTTP_PORT

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.host


class DevicePolling(Part):
    """How often devices are polled, and when one counts as offline."""

    interval_secs: Annotated[float, Field(ge=10, le=3600), SECS] = Field(
        30.0, description="pause between two polls of a device"
    )
    offline_after: Annotated[int, Field(ge=1, le=100), WHOLE] = Field(
        3, description="failed polls in a row after which a device is offline"
    )


def distinct(devices: tuple[DeviceConfig, ...]) -> tuple[DeviceConfig, ...]:
    """The devices. Raises ValueError if two have the same name."""
    names = [each.label for each in devices]
    if len(set(names)) != len(names):
        raise ValueError("two devices have the same name or host; set a different name for each")
    return devices
